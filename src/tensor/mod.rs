//! Tensors on the host, sums and work that repeat.

mod dtypes;
mod host;
mod on_device;
mod read;
mod safetensors;
mod total;

pub use dtypes::computes_in;
pub use dvar_callbacks::DeviceError;
pub use host::HostTensor;
pub use on_device::on_device;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use on_device::panic_message;
pub(crate) use read::read;
pub(crate) use safetensors::{float_type, floats, to_safetensors};
pub(crate) use total::total;
