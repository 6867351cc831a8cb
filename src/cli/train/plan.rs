//! Everything that can be checked of a run before it costs anything.

use std::path::Path;

use burn::tensor::Device;

use super::{TrainArgs, options, report};
use crate::{
    cli::{CliError, device, generate::read_embedding, model, run_folder::RunFolder},
    config::{MixedPrecision, TrainConfig, TrainOptions},
    data::dataset::Dataset,
    pipelines::ModelFolder,
    session::{Outlook, SessionError, Settings, Start},
    trainer::TrainState,
};

/// A checked run that has not yet cost anything.
pub(super) struct Plan {
    pub config: TrainConfig,
    pub model: ModelFolder,
    /// Open where the vocabulary has to be searched first.
    pub start: Option<Start>,
    pub dataset: Dataset,
    pub device: Device,
    pub device_name: String,
    pub folder: RunFolder,
    pub state: Option<TrainState>,
    pub size: usize,
    pub num_vectors: usize,
    /// The run's configuration file.
    pub saved: String,
    /// In place of the progress line.
    pub dashboard: bool,
}

/// Options that were laid over the model's advice and the defaults, and everything that was looked
/// at to check them.
pub(in crate::cli) struct Checked {
    pub options: TrainOptions,
    pub config: TrainConfig,
    pub model: ModelFolder,
    pub start: Option<Start>,
    pub dataset: Dataset,
    pub size: usize,
    pub num_vectors: usize,
}

impl Checked {
    /// Checks everything that can be checked before slow work; makes and changes no file.
    pub(in crate::cli) fn new(options: &TrainOptions) -> Result<Self, CliError> {
        let settings = model::of_run(options)?;
        let read = |file: &Path| {
            read_embedding(file).map_err(|error| SessionError::Unsuitable(error.to_string()))
        };
        let Outlook { size, start, num_vectors } = settings.check(read).map_err(CliError::input)?;
        let Settings { options, config, model } = settings;
        super::class_pictures::check(&config)?;
        let dataset = Dataset::from_folder(&config.train_data_dir, size, config.crop);
        let dataset = dataset.map_err(CliError::input)?;
        Ok(Self { options, config, model, start, dataset, size, num_vectors })
    }

    /// What the `config.toml` of such a run holds: all options, with paths that hold from any
    /// working folder, so that the run can be resumed from anywhere.
    pub(in crate::cli) fn saved(&self) -> Result<TrainOptions, CliError> {
        let mut options = absolute(self.options.clone())?;
        options.data.output_dir = None;
        Ok(options)
    }
}

impl Plan {
    /// Checks everything that can be checked before slow work, and creates the run's folder last.
    pub(super) fn new(args: &TrainArgs) -> Result<Self, CliError> {
        let (options, resumed) = options(args)?;
        let checked = Checked::new(&options)?;
        let saved = checked.saved()?.to_toml().map_err(CliError::failed)?;
        let Checked { options, config, model, start, dataset, size, num_vectors } = checked;
        let (device, device_name) = device::open(&args.device)?;
        device::check_precision(&model, &device, &device_name)?;
        let (folder, state) = match resumed {
            Some(folder) => {
                let state = read_state(&folder)?;
                (folder, state)
            }
            None => {
                let named = options.data.output_dir.as_deref();
                (RunFolder::create(named, &config.placeholder_token, &saved)?, None)
            }
        };
        Ok(Self {
            config,
            model,
            start,
            dataset,
            device,
            device_name,
            folder,
            state,
            size,
            num_vectors,
            saved,
            dashboard: args.dashboard(),
        })
    }

    pub(super) fn announce(&self) {
        let Self { config, dataset, .. } = self;
        println!("model      {}", self.model.name());
        println!(
            "concept    {} from {}, {} vector(s), {} pictures of {} px in {}",
            config.placeholder_token,
            report::initializer(&config.initializer),
            self.num_vectors,
            dataset.pictures().len(),
            self.size,
            config.train_data_dir.display()
        );
        let trainer = &config.trainer;
        println!(
            "training   {}at most {} steps, batch {} x {}, learning rate {}, on {}",
            report::method(&config.method),
            trainer.max_train_steps,
            config.train_batch_size,
            trainer.gradient_accumulation_steps,
            trainer.lr_schedule.base_lr,
            self.device_name
        );
        if config.mixed_precision != MixedPrecision::No {
            println!(
                "precision  {}; vectors, optimiser, norms, softmax and losses in f32{}",
                config.mixed_precision,
                if trainer.loss_scaling { ", the loss is scaled" } else { "" }
            );
        }
        println!("criterion  {}", report::criterion(config));
        println!("output     {}", self.folder.path().display());
        if let Some(state) = &self.state {
            println!("resuming   at step {}", state.step);
        }
    }
}

fn absolute(mut options: TrainOptions) -> Result<TrainOptions, CliError> {
    // neither the embedded model nor a name on the Hub is a path
    let folders = [&mut options.data.model, &mut options.samples.clip];
    let folders = folders.into_iter().flatten().filter(|folder| folder.is_dir());
    let always = [
        &mut options.data.train_data_dir,
        &mut options.method.class_data_dir,
        &mut options.start.initializer_file,
    ];
    for path in folders.chain(always.into_iter().flatten()) {
        *path = std::path::absolute(&*path).map_err(CliError::input)?;
    }
    Ok(options)
}

fn read_state(folder: &RunFolder) -> Result<Option<TrainState>, CliError> {
    match std::fs::read(folder.state()) {
        Ok(bytes) => TrainState::from_bytes(&bytes).map(Some).map_err(CliError::input),
        // killed before its first checkpoint
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(CliError::Input(format!("cannot read `{}`: {error}", folder.state().display())))
        }
    }
}
