//! Tensors on the host, and sums that repeat.

mod host;
mod total;

pub use dvar_callbacks::DeviceError;
pub use host::HostTensor;
pub(crate) use total::total;
