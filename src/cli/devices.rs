//! `dvar devices`

use std::path::PathBuf;

use burn::tensor::Device;

use super::{CliError, device, model};
use crate::{
    config::{MixedPrecision, TrainOptions},
    data::{dataset::Dataset, png::encode_png},
    pipelines::ModelFolder,
    session::{self, CheckedOptions, InitialVectors, Observer, PreparedRun, RunError, Start},
    tensor::computes_in,
};

/// Flags of `dvar devices`.
#[derive(Debug, clap::Args)]
pub(super) struct DevicesArgs {
    /// Compile the kernels that a run on this model needs, for each NVIDIA GPU, so that the first
    /// run starts as fast as later ones [without a value: embedded]
    #[arg(long, value_name = "MODEL", num_args = 0..=1, default_missing_value = model::EMBEDDED)]
    warm: Option<PathBuf>,
}

pub(super) fn run(args: &DevicesArgs) -> Result<(), CliError> {
    let Some(model) = &args.warm else { return device::list() };
    if cfg!(not(feature = "cuda")) {
        return Err(CliError::Input(
            "`--warm` is for NVIDIA GPUs, which this build does not know; build it with `--features \
             cuda`"
                .into(),
        ));
    }
    each(device::nvidia_gpus(), |name| {
        let (device, name) = device::open(&name)?;
        // after the GPU: where there is none, nothing is downloaded
        let model = model::open(Some(model), false)?;
        let precisions = [MixedPrecision::No, MixedPrecision::Fp16, MixedPrecision::Bf16];
        let precisions = precisions.into_iter().filter(|p| computes_in(&device, p.dtype()));
        each(precisions, |precision| compile(&model, precision, &device, &name))
    })
}

/// Does the work for each of several things, whatever fails on the way, and gives at the end all that
/// failed.
fn each<T>(
    things: impl IntoIterator<Item = T>,
    work: impl FnMut(T) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut failed: Vec<CliError> = things.into_iter().map(work).filter_map(Result::err).collect();
    if failed.len() < 2 {
        return failed.pop().map_or(Ok(()), Err);
    }
    let mut said: Vec<String> = failed.iter().map(ToString::to_string).collect();
    said.dedup();
    let code = failed.iter().map(CliError::exit_code).min().unwrap_or(1);
    Err(CliError::with_code(code, said.join("; ")))
}

/// Compiles what a run in this precision wants of a GPU.
fn compile(
    model: &ModelFolder,
    precision: MixedPrecision,
    device: &Device,
    name: &str,
) -> Result<(), CliError> {
    let dtype = precision.dtype().name();
    let run = shortest(model.clone(), precision, device.clone())?;
    let ran = device::run(device, || {
        let ran = pollster::block_on(session::run(&run, &Nobody));
        ran.map(drop).map_err(|error| error.cause.into_error())
    });
    ran.map_err(|error| {
        let said = format!("`{name}` lacks the kernels of a run in {dtype}: {error}");
        CliError::with_code(error.exit_code(), said)
    })?;
    device::check_kept()?;
    println!("{name:8} has the kernels of a run in {dtype}");
    Ok(())
}

/// One step and one picture, of Textual Inversion on made-up pictures.
fn shortest(
    model: ModelFolder,
    precision: MixedPrecision,
    device: Device,
) -> Result<PreparedRun, CliError> {
    let mut options = TrainOptions::default();
    options.data.train_data_dir = Some(PathBuf::new());
    options.data.placeholder_token = Some("<dvar-warm>".into());
    options.start.initializer_token = Some("a".into());
    options.training.max_train_steps = Some(1);
    options.training.mixed_precision = Some(precision);
    options.samples.num_samples = Some(1);
    options.samples.num_inference_steps = Some(2);
    let checked = CheckedOptions::new(&options, model)?;
    let start = Start::Known(InitialVectors::first_token(&checked.model));
    let size = checked.size();
    let png = encode_png(size, size, &vec![128; size * size * 3])?;
    let dataset =
        Dataset::from_bytes(vec![("grey.png".into(), png)], size, checked.config.reading)?;
    let run = PreparedRun::new(checked, start, dataset, device)?;
    Ok(PreparedRun { draws_before: false, ..run })
}

/// Looks at nothing and keeps nothing.
struct Nobody;

impl Observer for Nobody {
    type Error = CliError;

    async fn class_pictures(&self, _: &PreparedRun) -> Result<Option<Dataset>, RunError<CliError>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_failure_is_done_too_and_all_failures_are_told() {
        let work = |fails: &[(&str, u8)]| {
            let mut done = Vec::new();
            let ended = each(["f32", "f16", "bf16"], |name| {
                done.push(name);
                let failure = fails.iter().find(|(failing, _)| *failing == name);
                failure.map_or(Ok(()), |(_, code)| Err(CliError::with_code(*code, name.into())))
            });
            assert_eq!(done, ["f32", "f16", "bf16"]);
            ended.map_err(|error| (error.to_string(), error.exit_code()))
        };
        assert_eq!(work(&[]), Ok(()));
        assert_eq!(work(&[("f32", 1)]), Err(("f32".into(), 1)));
        assert_eq!(work(&[("f32", 2), ("bf16", 1)]), Err(("f32; bf16".into(), 1)));
        assert_eq!(work(&[("f16", 2), ("bf16", 2)]), Err(("f16; bf16".into(), 2)));
    }
}
