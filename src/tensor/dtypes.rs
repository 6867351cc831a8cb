//! The types that a device computes in.

use burn::tensor::{DType, Device};

/// Whether a device computes in a type.
///
/// burn 0.22 says so of f16 and bf16 on every NVIDIA GPU; arithmetic in them came with compute capability
/// 7.0 and 8.0, and kernels for older ones do not compile (CUDA C++ Programming Guide, "Compute
/// Capabilities").
pub fn computes_in(device: &Device, dtype: DType) -> bool {
    let least = match dtype {
        DType::F16 => 70,
        DType::BF16 => 80,
        _ => 0,
    };
    device.supports_dtype(dtype) && compute_capability(device).is_none_or(|chip| chip >= least)
}

/// An NVIDIA GPU's compute capability, 86 for 8.6.
#[cfg(feature = "cuda")]
fn compute_capability(device: &Device) -> Option<u32> {
    device.identity()?.fingerprint.strip_prefix("ptx_sm")?.parse().ok()
}

#[cfg(not(feature = "cuda"))]
fn compute_capability(_: &Device) -> Option<u32> {
    None
}
