//! The list of `dvar devices`.

use burn::tensor::{DType, Device};

use super::{CHOICES, Choice, CliError, is_hardware, suits_auto, unusable::Unusable, usable};
use crate::tensor::computes_in;

/// The names for `--device` of all NVIDIA GPUs; where there is none, the one that tells why.
pub(in crate::cli) fn nvidia_gpus() -> Vec<String> {
    CHOICES.iter().filter(|choice| choice.name == "cuda").flat_map(names).collect()
}

/// The names of all devices of a kind; where there is none, that of the first.
fn names(choice: &Choice) -> Vec<String> {
    let name = |index| match index {
        0 => choice.name.to_string(),
        _ => format!("{}:{index}", choice.name),
    };
    (0..(choice.count)().max(1)).map(name).collect()
}

/// `dvar devices`
pub(in crate::cli) fn list() -> Result<(), CliError> {
    let mut best = None;
    for choice in CHOICES {
        for (index, name) in names(choice).into_iter().enumerate() {
            let state = match usable(choice, index) {
                Ok(device) => {
                    if best.is_none() && suits_auto(choice, &device) {
                        best = Some(choice.name);
                    }
                    describe(choice, &device)
                }
                Err(Unusable::Absent(reason)) => format!("not here: {reason}"),
                Err(Unusable::Broken(reason)) => format!("does not work: {reason}"),
            };
            println!("{name:8} {:44} {state}", choice.about);
        }
    }
    if let Some(best) = best {
        println!("auto     takes {best}");
    }
    Ok(())
}

/// Which part it is, its memory where that is known, and the types that it computes in.
pub(super) fn describe(choice: &Choice, device: &Device) -> String {
    let types = [DType::F32, DType::F16, DType::BF16];
    let types = types.into_iter().filter(|dtype| computes_in(device, *dtype));
    let part = if !choice.gpu {
        None
    } else if is_hardware(device) {
        part(device)
    } else {
        part(device).map(|part| format!("{part} (software, not for `auto`)"))
    };
    let memory = if choice.gpu { gpu_memory(device) } else { host_memory() };
    let memory = memory.map(|bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)));
    let types = types.map(|dtype| dtype.name()).collect::<Vec<_>>().join(" ");
    let facts = [part, memory, Some(types)];
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub(super) fn part(device: &Device) -> Option<String> {
    device.identity().map(|identity| identity.name)
}

/// What the driver tells; wgpu tells nothing.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn gpu_memory(device: &Device) -> Option<u64> {
    match device.as_dispatch() {
        burn::backend::DispatchDevice::Cube(cube) => cube.client().properties().memory.max_memory(),
        _ => None,
    }
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
pub(super) fn part(_: &Device) -> Option<String> {
    None
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
fn gpu_memory(_: &Device) -> Option<u64> {
    None
}

/// The machine's memory, where the system tells it.
fn host_memory() -> Option<u64> {
    let memory = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = memory.lines().find(|line| line.starts_with("MemTotal:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_whose_driver_fails_whatever_the_number_is_listed_once() {
        let kind = |count: fn() -> usize| Choice {
            name: "cuda",
            about: "",
            gpu: true,
            count,
            open: |_| Err(Unusable::Broken("its library is not found".into())),
        };
        assert_eq!(names(&kind(|| 0)), ["cuda"]);
        assert_eq!(names(&kind(|| 2)), ["cuda", "cuda:1"]);
    }
}
