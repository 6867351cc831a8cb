//! Which device computes.

use burn::tensor::Device;

use super::CliError;

/// A device that this build can name: flag value, what it is, and how to get it.
struct Choice {
    name: &'static str,
    about: &'static str,
    open: fn(usize) -> Result<Device, String>,
}

/// In the order of preference for `auto`.
const CHOICES: &[Choice] = &[
    #[cfg(feature = "cuda")]
    Choice { name: "cuda", about: "NVIDIA GPU; `cuda:1` is the second one", open: open_cuda },
    #[cfg(feature = "flex")]
    Choice { name: "cpu", about: "CPU (burn-flex)", open: |_| Ok(Device::flex()) },
    #[cfg(feature = "vulkan")]
    Choice {
        name: "vulkan",
        about: "GPU by Vulkan and SPIR-V",
        open: |_| open_wgpu(Some(WgpuBackend::Vulkan)),
    },
    #[cfg(feature = "metal")]
    Choice { name: "metal", about: "Apple GPU", open: |_| open_wgpu(Some(WgpuBackend::Metal)) },
    #[cfg(feature = "wgpu")]
    Choice { name: "wgpu", about: "any GPU by wgpu", open: |_| open_wgpu(None) },
    #[cfg(feature = "ndarray")]
    Choice { name: "ndarray", about: "CPU (burn-ndarray), for comparison", open: open_ndarray },
];

#[cfg(feature = "wgpu")]
use burn::tensor::wgpu::WgpuBackend;

#[cfg(feature = "wgpu")]
fn open_wgpu(api: Option<WgpuBackend>) -> Result<Device, String> {
    let options = Device::wgpu_options();
    let options = match api {
        Some(api) => options.graphics_api(api),
        None => options,
    };
    options.init().map_err(|error| error.to_string())
}

/// Deprecated in burn in favour of flex; kept here to compare the two.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
fn open_ndarray(_: usize) -> Result<Device, String> {
    Ok(Device::ndarray())
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device, String> {
    // burn panics on a thread of its own where there is no driver: look for it first
    if !std::path::Path::new("/dev/nvidiactl").exists() && cfg!(target_os = "linux") {
        return Err("no NVIDIA driver is loaded".into());
    }
    let count = Device::enumerate(burn::tensor::DeviceType::Cuda).len();
    if index >= count {
        return Err(format!("there are {count} NVIDIA GPUs, counted from 0"));
    }
    Ok(Device::cuda(index))
}

/// The device that `--device` names, and how to call it in messages.
pub(super) fn open(name: &str) -> Result<(Device, String), CliError> {
    if name == "auto" {
        let found = CHOICES
            .iter()
            .find_map(|choice| Some(((choice.open)(0).ok()?, choice.name.to_string())));
        return found.ok_or_else(|| {
            CliError::input("this build has no device; build it with `--features flex`")
        });
    }
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, index.parse().map_err(|_| unknown(name))?),
        None => (name, 0),
    };
    let choice = CHOICES.iter().find(|choice| choice.name == kind).ok_or_else(|| unknown(name))?;
    if name.contains(':') && kind != "cuda" {
        return Err(unknown(name));
    }
    let device = (choice.open)(index)
        .map_err(|reason| CliError::Input(format!("device `{name}` cannot be used: {reason}")))?;
    Ok((device, name.to_string()))
}

fn unknown(name: &str) -> CliError {
    let known: Vec<&str> = CHOICES.iter().map(|choice| choice.name).collect();
    CliError::Input(format!("unknown device `{name}`; this build knows auto, {}", known.join(", ")))
}

/// `dvar devices`
pub(super) fn list() -> Result<(), CliError> {
    for choice in CHOICES {
        let state = match (choice.open)(0) {
            Ok(_) => "available".to_string(),
            Err(reason) => format!("not here: {reason}"),
        };
        println!("{:8} {:44} {state}", choice.name, choice.about);
    }
    Ok(())
}
