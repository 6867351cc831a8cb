//! Work on a device's own thread, where it repeats.

use burn::tensor::Device;

use super::DeviceError;

/// Does `work`, so that on one device it computes the same bits each time.
///
/// burn's GPU backends hand each operation to a thread of the device. One that may take a buffer of
/// its input for its output does so if nobody else owns the buffer, and that thread counts among the
/// owners until it has come to the buffer: whether an operation works in place depends on how far the
/// thread has got, and so do the strides of what it gives and the order of the sums over that. On the
/// thread itself each operation is through before the next is asked for, and nothing depends on time.
/// CPU backends have no such thread; there, `work` is only called.
///
/// Nothing in `work` may wait for another thread that uses the device: it would wait for ever.
///
/// # Errors
///
/// [`DeviceError`] if a panic ends `work` on a GPU's thread, which is how burn's operations answer to
/// many failures of a device. The thread goes on to serve others.
#[cfg_attr(not(any(feature = "cuda", feature = "wgpu")), allow(unused_variables))]
pub fn on_device<R: Send + 'static>(
    device: &Device,
    work: impl FnOnce() -> R + Send,
) -> Result<R, DeviceError> {
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if let burn::backend::DispatchDevice::Cube(cube) = device.clone().inner().as_dispatch() {
        let caught = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let done = cube.client().exclusive(caught).map_err(DeviceError::new)?;
        return done.map_err(|panic| DeviceError::new(panic_message(&*panic)));
    }
    Ok(work())
}

/// What a panic says.
#[cfg(any(feature = "cuda", feature = "wgpu", not(target_arch = "wasm32")))]
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked without a message")
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn on_a_cpu_the_work_stays_on_its_thread() {
        let here = std::thread::current().id();
        let there = on_device(&Device::flex(), || std::thread::current().id());
        assert_eq!(there, Ok(here));
    }
}
