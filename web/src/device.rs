//! The device that computes for the page.

use std::{cell::RefCell, sync::Mutex};

use burn::tensor::Device;

use crate::error::PageError;

thread_local! {
    /// A GPU is set up once for a worker.
    static GPU: RefCell<Option<(Device, String)>> = const { RefCell::new(None) };
}

/// Why the GPU is gone, once it is.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// A device, what the page calls it, and its name.
pub async fn open(kind: &str) -> Result<(Device, &'static str, String), PageError> {
    match kind {
        "cpu" => Ok((Device::flex(), "cpu", "CPU (WebAssembly SIMD)".into())),
        "webgpu" => {
            if let Some((device, name)) = GPU.with_borrow(Clone::clone) {
                return Ok((device, "webgpu", name));
            }
            let setup = Device::wgpu_options().init_with_setup_async().await;
            let (device, setup) = setup.map_err(|error| {
                PageError::Device(format!("WebGPU is not to be had ({error}); take the CPU"))
            })?;
            setup.device.set_device_lost_callback(|_, message| {
                if let Ok(mut lost) = LOST.lock() {
                    *lost = Some(message);
                }
            });
            let info = setup.adapter.get_info();
            let name = [info.name, info.driver_info, info.driver];
            let name = name.into_iter().find(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| "WebGPU".into());
            GPU.set(Some((device.clone(), name.clone())));
            Ok((device, "webgpu", name))
        }
        _ => Err(PageError::input(format!("there is no device `{kind}`; take `webgpu` or `cpu`"))),
    }
}

/// The error, or where the GPU is gone, that it is: everything fails then, each in its own words.
/// What the page threw stays as it was.
pub fn blame(error: PageError) -> PageError {
    if error.is_thrown() {
        return error;
    }
    match LOST.lock().ok().and_then(|lost| lost.clone()) {
        // what goes on, and where, the page knows
        Some(reason) => PageError::Device(format!("the GPU was lost ({reason})")),
        None => error,
    }
}
