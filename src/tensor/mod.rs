//! Tensors on the host, and sums that repeat.

mod host;
mod safetensors;
mod total;

pub use dvar_callbacks::DeviceError;
pub use host::HostTensor;
pub(crate) use safetensors::{floats, to_safetensors};
pub(crate) use total::total;
