//! `dvar devices`

use std::path::PathBuf;

use burn::tensor::Device;

use super::{CliError, device, model};
use crate::{
    config::{MixedPrecision, TrainOptions},
    data::{dataset::Dataset, png::encode_png},
    pipelines::ModelFolder,
    session::{
        self, CheckedOptions, InitialVectors, Observer, PreparedRun, RunError, Shown, Start,
    },
    tensor::computes_in,
    trainer::{Callbacks, TrainState},
};

/// Flags of `dvar devices`.
#[derive(Debug, clap::Args)]
pub(super) struct DevicesArgs {
    /// Compile for each NVIDIA GPU what a run on this model wants, so that its first run begins as fast
    /// as later ones [without a value: embedded]
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
    for index in 0.. {
        let (device, name) = match device::open(&format!("cuda:{index}")) {
            Err(CliError::Input(_)) if index > 0 => break,
            opened => opened?,
        };
        // after the GPU: where there is none, nothing is downloaded
        let model = model::open(Some(model), false)?;
        for precision in [MixedPrecision::No, MixedPrecision::Fp16, MixedPrecision::Bf16] {
            let dtype = precision.dtype();
            if computes_in(&device, dtype) {
                let run = shortest(model.clone(), precision, device.clone())?;
                device::run(&device, || {
                    let ran = pollster::block_on(session::run(&run, &Nobody));
                    ran.map(drop).map_err(|error| CliError::from(error.cause))
                })?;
                device::check_kept()?;
                println!("{name:8} has the kernels of a run in {}", dtype.name());
            }
        }
    }
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
    Ok(PreparedRun {
        checked,
        start,
        dataset,
        clip: None,
        device,
        begun_with: String::new(),
        state: None,
        draws_before: false,
    })
}

/// Looks at nothing and keeps nothing.
struct Nobody;

impl Observer for Nobody {
    type Error = CliError;

    async fn class_pictures(&self, _: &PreparedRun) -> Result<Option<Dataset>, RunError<CliError>> {
        Ok(None)
    }

    async fn samples(&self, _: Shown<'_>) -> Result<(), CliError> {
        Ok(())
    }

    fn callbacks<'a>(
        &'a self,
        _: &PreparedRun,
        _: Option<&TrainState>,
    ) -> Result<Callbacks<'a>, CliError> {
        Ok(Vec::new())
    }
}
