//! Tensors on the host, and sums that repeat.

mod device_error;
mod host;
mod total;

pub use device_error::DeviceError;
pub use host::HostTensor;
pub(crate) use total::total;
