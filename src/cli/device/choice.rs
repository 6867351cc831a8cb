//! The kinds of devices that this build has.

use burn::tensor::Device;
#[cfg(feature = "wgpu")]
use burn::tensor::wgpu::{WgpuBackend, WgpuInitError};

#[cfg(feature = "cuda")]
use super::cuda;
use super::unusable::Unusable;

/// A device that this build can name: flag value, what it is, and how to get it.
pub(super) struct Choice {
    pub name: &'static str,
    pub about: &'static str,
    /// A GPU, unless it is one in software.
    pub gpu: bool,
    /// How many there are that a number can name, where their driver can be asked.
    pub count: fn() -> usize,
    pub open: fn(usize) -> Result<Device, Unusable>,
}

/// In the order of preference for `auto`.
pub(super) const CHOICES: &[Choice] = &[
    #[cfg(feature = "cuda")]
    Choice {
        name: "cuda",
        about: "NVIDIA GPU; `cuda:1` is the second one",
        gpu: true,
        count: cuda::count,
        open: cuda::open,
    },
    #[cfg(feature = "vulkan")]
    Choice {
        name: "vulkan",
        about: "GPU by Vulkan and SPIR-V",
        gpu: true,
        count: || 1,
        open: |_| open_wgpu(Some(WgpuBackend::Vulkan)),
    },
    #[cfg(feature = "metal")]
    Choice {
        name: "metal",
        about: "Apple GPU",
        gpu: true,
        count: || 1,
        open: |_| open_wgpu(Some(WgpuBackend::Metal)),
    },
    #[cfg(feature = "wgpu")]
    Choice {
        name: "wgpu",
        about: "any GPU by wgpu",
        gpu: true,
        count: || 1,
        open: |_| open_wgpu(None),
    },
    #[cfg(feature = "flex")]
    Choice {
        name: "cpu",
        about: "CPU (burn-flex)",
        gpu: false,
        count: || 1,
        open: |_| Ok(Device::flex()),
    },
    #[cfg(feature = "ndarray")]
    Choice {
        name: "ndarray",
        about: "CPU (burn-ndarray), for comparison",
        gpu: false,
        count: || 1,
        open: open_ndarray,
    },
];

#[cfg(feature = "wgpu")]
pub(super) fn open_wgpu(api: Option<WgpuBackend>) -> Result<Device, Unusable> {
    let options = Device::wgpu_options();
    let options = match api {
        Some(api) => options.graphics_api(api),
        None => options,
    };
    options.init().map_err(|error| match error {
        WgpuInitError::AdapterUnavailable { .. } | WgpuInitError::UnsupportedGraphicsApi { .. } => {
            Unusable::Absent(error.to_string())
        }
        error => Unusable::Broken(error.to_string()),
    })
}

/// Deprecated in burn in favour of flex; kept here to compare the two.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
fn open_ndarray(_: usize) -> Result<Device, Unusable> {
    Ok(Device::ndarray())
}
