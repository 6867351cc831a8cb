//! NVIDIA GPUs: whether there is one, and what is missing where it cannot compute.

use std::{
    env, panic,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, DeviceType};

use super::{kernels, toolkit, unusable::Unusable, versions};
use crate::cli::counted::counted;

/// How many GPUs there are; 0 also where the driver cannot be asked.
pub(super) fn count() -> usize {
    Device::enumerate(DeviceType::Cuda).len()
}

/// The GPU of this number.
pub(super) fn open(index: usize) -> Result<Device, Unusable> {
    // the driver's, that of Windows under Linux, and that of a Jetson
    let files = ["/dev/nvidiactl", "/dev/dxg", "/dev/nvmap"];
    if cfg!(target_os = "linux") && !files.iter().any(|file| Path::new(file).exists()) {
        return Err(Unusable::Absent("no NVIDIA driver is loaded".into()));
    }
    // burn says of each of these only that there are 0 GPUs
    match panic::catch_unwind(cudarc::driver::result::init) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return Err(Unusable::Broken(format!("NVIDIA's driver answers {error}")));
        }
        // elsewhere the library is all that there is to see of a driver
        Err(_) if !cfg!(target_os = "linux") => {
            return Err(Unusable::Absent("no NVIDIA driver is installed".into()));
        }
        Err(_) => {
            return Err(Unusable::Broken(
                "NVIDIA's driver is loaded, but its library libcuda is not found; install it too, \
                 or start the container with `--gpus all`"
                    .into(),
            ));
        }
    }
    if index >= count() {
        let gpus = counted(count(), "NVIDIA GPU");
        return Err(Unusable::Absent(format!("this machine has {gpus}, counted from 0")));
    }
    toolkit::prepare(&cache()).map_err(Unusable::Broken)?;
    kernels::keep_in(cache());
    Ok(Device::cuda(index))
}

/// Nothing if the kernels that were compiled are on the disk; else the folder where they should be.
pub(super) fn kernels_not_kept() -> Option<PathBuf> {
    (!kernels::are_kept()).then(cache)
}

/// Where this program keeps what can be made again.
fn cache() -> PathBuf {
    // by its standard, an empty or relative value counts as none
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    cache.unwrap_or_else(env::temp_dir).join("dvar")
}

/// What a user can do about a failure of the first kernels, if it is one of those.
pub(super) fn advice(reason: &str) -> Option<String> {
    if reason.contains("UNSUPPORTED_PTX_VERSION") {
        // the packages for Windows are not looked for
        let how = if cfg!(unix) {
            format!("such as `{}`", toolkit::install(&toolkit::PACKAGES))
        } else {
            format!("by the CUDA toolkit; {FIRST}")
        };
        return Some(format!(
            "NVIDIA's compiler NVRTC is newer than the driver; update the driver, or install a compiler \
             of the CUDA version that `nvidia-smi` shows or of an older one, {how}"
        ));
    }
    if !reason.contains(UNKNOWN_CHIP) {
        return None;
    }
    let (major, minor) = versions::of_compiler()?;
    Some(format!(
        "NVIDIA's compiler NVRTC {major}.{minor} does not know this GPU: RTX 50 and B200 need CUDA 12.8 or newer, \
         and what is older than RTX 20 and T4 needs CUDA 12; install another toolkit, {FIRST}"
    ))
}

/// How a toolkit is chosen among several.
const FIRST: &str = if cfg!(windows) {
    "let `CUDA_PATH` name its folder, and put the folder of its libraries first in `PATH`"
} else {
    "let `CUDA_PATH` name its folder, and put the folder of its libraries first in `LD_LIBRARY_PATH`"
};

/// What NVRTC answers where it is older than a GPU, or has dropped it.
const UNKNOWN_CHIP: &str = "invalid value for --gpu-architecture";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_can_do_is_told_where_it_is_known() {
        let newer =
            "Unable to load the PTX: DriverError(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, \"..\")";
        let how = if cfg!(unix) { "pip install" } else { "first in `PATH`" };
        assert!(advice(newer).unwrap().contains(how));
        assert_eq!(advice("it does not answer"), None);
    }
}
