//! The device that `--device` names.

mod choice;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod kernels;
mod list;
mod probe;
mod several;
#[cfg(feature = "cuda")]
mod toolkit;
mod unusable;
#[cfg(feature = "cuda")]
mod versions;

use std::{
    env, panic,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use burn::tensor::Device;

use self::{
    choice::{CHOICES, Choice},
    unusable::Unusable,
};
pub(super) use self::{
    list::{list, nvidia_gpus},
    several::open_each,
};
use super::CliError;
use crate::{
    pipelines::ModelFolder,
    tensor::{DeviceError, on_device, panic_message},
};

/// The device of this kind and number, if it computes.
fn usable(choice: &Choice, index: usize) -> Result<Device, Unusable> {
    let (answer, panicked) = quietly(|| -> Result<_, Unusable> {
        let device = (choice.open)(index)?;
        let checked = if choice.gpu { probe::check(&device) } else { Ok(()) };
        Ok((device, checked))
    });
    let (device, checked) = answer?;
    match checked {
        Ok(()) => Ok(device),
        Err(reason) => {
            let said = panicked.filter(|_| reason == probe::PANICS);
            let said = said.map(|panic| format!(": {}", DeviceError::new(panic).cause()));
            let reason = reason + &said.unwrap_or_default();
            Err(Unusable::Broken(said_of(choice, reason)))
        }
    }
}

/// Panics are among the ways in which drivers fail: no report of one is shown. What the first one says
/// is given back with the answer; those after it come of it.
fn quietly<R>(ask: impl FnOnce() -> R) -> (R, Option<String>) {
    let first: Arc<Mutex<Option<String>>> = Arc::default();
    let heard = first.clone();
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let mut first = heard.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| panic_message(panic.payload()).into());
    }));
    let answer = ask();
    panic::set_hook(report);
    let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
    (answer, first)
}

/// What a failure at the first kernels means, where that is known.
fn said_of(choice: &Choice, reason: String) -> String {
    #[cfg(feature = "cuda")]
    if let Some(advice) = cuda::advice(&reason).filter(|_| choice.name == "cuda") {
        return advice;
    }
    let _ = choice;
    format!("it fails at its first kernels: {reason}")
}

/// The one device that `--device` names, and how to call it in messages.
pub(super) fn open(name: &str) -> Result<(Device, String), CliError> {
    check_is_one(name)?;
    if name == "auto" {
        let found = automatic().map(|(choice, device)| (device, choice.name.to_string()));
        return found.ok_or_else(|| {
            CliError::Input("this build has no device; build it with `--features flex`".into())
        });
    }
    find(name)?.open()
}

/// Refuses a list of devices.
fn check_is_one(name: &str) -> Result<(), CliError> {
    if !name.contains(',') {
        return Ok(());
    }
    Err(CliError::Input(format!(
        "`--device {name}` names several devices, and only `dvar train` shares its steps out among \
         them; name one"
    )))
}

/// Refuses a name that means none of this build's devices.
pub(super) fn check_name(name: &str) -> Result<(), CliError> {
    check_is_one(name)?;
    if name == "auto" { Ok(()) } else { find(name).map(drop) }
}

/// Refuses an NVIDIA GPU that is not there, without taking memory of it, which those that this process
/// starts would lack. Other GPUs cannot be asked so: what is wrong with one, who computes on it says.
pub(super) fn check_is_there(name: &str) -> Result<(), CliError> {
    check_name(name)?;
    if !name.starts_with("cuda") {
        return Ok(());
    }
    let named = find(name)?;
    let (found, _) = quietly(|| (named.choice.open)(named.index));
    found.map(drop).map_err(|unusable| named.refused(unusable))
}

/// A device of this build, by its name.
struct Named<'a> {
    name: &'a str,
    choice: &'static Choice,
    index: usize,
}

fn find(name: &str) -> Result<Named<'_>, CliError> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, index.parse().map_err(|_| unknown(name))?),
        None => (name, 0),
    };
    let choice = CHOICES.iter().find(|choice| choice.name == kind).ok_or_else(|| unknown(name))?;
    if name.contains(':') && kind != "cuda" {
        let other = "; the variable `CUBECL_WGPU_DEFAULT_DEVICE` chooses another GPU, such as \
                     `DiscreteGpu(1)`, the second one";
        let other = if choice.gpu { other } else { "" };
        return Err(CliError::Input(format!(
            "`--device {name}` has a number, which only `cuda` takes{other}"
        )));
    }
    Ok(Named { name, choice, index })
}

impl Named<'_> {
    fn open(self) -> Result<(Device, String), CliError> {
        let device = usable(self.choice, self.index).map_err(|unusable| self.refused(unusable))?;
        Ok((device, self.name.to_string()))
    }

    fn refused(&self, unusable: Unusable) -> CliError {
        let refused = |reason| format!("device `{}` cannot be used: {reason}", self.name);
        match unusable {
            Unusable::Absent(reason) => CliError::Input(refused(reason)),
            Unusable::Broken(reason) => CliError::Failed(refused(reason)),
        }
    }
}

/// The best device: a GPU that works, but none in software, or else the CPU.
fn automatic() -> Option<(&'static Choice, Device)> {
    let gpus = may_have_gpu();
    let choices = CHOICES.iter().filter(|choice| gpus || !choice.gpu);
    choices.into_iter().find_map(|choice| match usable(choice, 0) {
        Ok(device) => suits_auto(choice, &device).then_some((choice, device)),
        Err(Unusable::Absent(_)) => None,
        Err(Unusable::Broken(reason)) => {
            eprintln!("note: `{}` is passed over: {reason}", choice.name);
            None
        }
    })
}

fn suits_auto(choice: &Choice, device: &Device) -> bool {
    !choice.gpu || is_hardware(device)
}

/// Asking for a GPU where none can be starts software in its place, and makes drivers complain.
fn may_have_gpu() -> bool {
    let drivers =
        ["/dev/dri", "/dev/nvidiactl", "/dev/dxg", "/dev/nvmap", "/dev/mali0", "/dev/kgsl-3d0"];
    !cfg!(target_os = "linux") || drivers.iter().any(|file| std::path::Path::new(file).exists())
}

fn unknown(name: &str) -> CliError {
    let known: Vec<&str> = CHOICES.iter().map(|choice| choice.name).collect();
    CliError::Input(format!("unknown device `{name}`; this build knows auto, {}", known.join(", ")))
}

/// Does a command's work on its device's own thread, where it repeats ([`on_device`]). A panic there
/// becomes the error that the user is shown.
pub(super) fn run<R: Send + 'static>(
    device: &Device,
    work: impl FnOnce() -> Result<R, CliError> + Send,
) -> Result<R, CliError> {
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return dvar_models::on_cores(work);
    }
    let caller = thread::current().id();
    on_device(device, || {
        if thread::current().id() != caller {
            hide_reports();
        }
        work()
    })?
}

/// Panics on this thread become errors that the user is shown; their reports are for who asks for
/// `RUST_BACKTRACE`.
pub(super) fn hide_reports() {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    let here = thread::current().id();
    let _held = ONE_AT_A_TIME.lock();
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if thread::current().id() != here {
            report(panic);
        }
    }));
}

/// Says on stderr which device `auto` took, for commands that do not say it themselves.
pub(super) fn say(asked: &str, taken: &str) {
    if asked == "auto" {
        eprintln!("device     {taken}");
    }
}

/// Refuses a device that does not compute in the model's precision.
pub(super) fn check_precision(
    model: &ModelFolder,
    device: &Device,
    name: &str,
) -> Result<(), CliError> {
    Ok(model.check_precision(device, &format!("device `{name}`"))?)
}

/// Says so if kernels that were compiled are not there for the next start.
pub(super) fn check_kept() -> Result<(), CliError> {
    #[cfg(feature = "cuda")]
    if let Some(folder) = cuda::kernels_not_kept() {
        return Err(CliError::Failed(format!(
            "the compiled kernels cannot be kept in `{}`; see that it can be written, and delete \
             its `kernels-*.db` if they are damaged",
            folder.display()
        )));
    }
    Ok(())
}

/// Whether the device is a card, and no software that stands in for one.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub(super) fn is_hardware(device: &Device) -> bool {
    device.identity().is_some_and(|identity| identity.physical.is_some())
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
pub(super) fn is_hardware(_: &Device) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_a_card_or_the_cpu_and_never_software_in_place_of_a_card() {
        let (choice, device) = automatic().unwrap();
        assert_eq!(choice.gpu, is_hardware(&device), "{}", choice.name);
        if !may_have_gpu() {
            assert_eq!(choice.name, "cpu");
        }
    }

    #[test]
    fn a_device_is_looked_for_without_being_taken() {
        check_is_there("auto").unwrap();
        // also where there is no adapter
        #[cfg(feature = "wgpu")]
        check_is_there("wgpu").unwrap();
        for name in ["tpu", "cuda:one", "cpu:1", "cpu,cpu"] {
            assert_eq!(check_is_there(name).unwrap_err().exit_code(), 2, "{name}");
        }
        let numbered = |name: &str| check_is_there(name).unwrap_err().to_string();
        assert!(numbered("cpu:1").ends_with("only `cuda` takes"));
        #[cfg(feature = "wgpu")]
        assert!(numbered("wgpu:1").contains("`DiscreteGpu(1)`"));
    }

    /// Whatever the machine has: a card, lavapipe or nothing.
    #[cfg(feature = "wgpu")]
    #[test]
    fn an_adapter_is_a_card_exactly_if_it_is_no_software() {
        use super::{
            choice::open_wgpu,
            list::{describe, part},
        };

        const SOFTWARE: [&str; 4] = ["llvmpipe", "swiftshader", "softpipe", "basic render"];
        let choice = CHOICES.iter().find(|choice| choice.name == "wgpu").unwrap();
        match open_wgpu(None) {
            Ok(device) => {
                let part = part(&device).unwrap().to_lowercase();
                let software = SOFTWARE.iter().any(|name| part.contains(name));
                assert_eq!(is_hardware(&device), !software, "{part}");
                assert_eq!(describe(choice, &device).contains("not for `auto`"), software);
            }
            Err(Unusable::Absent(reason) | Unusable::Broken(reason)) => assert!(!reason.is_empty()),
        }
    }
}
