//! The CUDA versions of NVIDIA's driver and of its compiler NVRTC.

#![allow(unsafe_code)]

use std::panic;

/// Such as 12.4.
pub(super) type Version = (i32, i32);

/// The newest version whose compiler's output the driver takes, where it tells.
pub(super) fn of_driver() -> Option<Version> {
    let ask = || {
        let mut version = 0;
        // SAFETY: the function writes one number, where it is told to.
        let answer = unsafe { cudarc::driver::sys::cuDriverGetVersion(&mut version) };
        answer.result().ok().map(|()| (version / 1000, version % 1000 / 10))
    };
    // cudarc panics where it does not find the library
    panic::catch_unwind(ask).ok().flatten()
}

/// The version of the compiler that the loader finds, if it finds one.
pub(super) fn of_compiler() -> Option<Version> {
    let ask = || {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the function writes two numbers, where it is told to.
        let answer = unsafe { cudarc::nvrtc::sys::nvrtcVersion(&mut major, &mut minor) };
        answer.result().ok().map(|()| (major, minor))
    };
    panic::catch_unwind(ask).ok().flatten()
}
