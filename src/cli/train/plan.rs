//! Everything that can be checked of a run before it costs anything.

use burn::tensor::Device;

use super::{TrainArgs, options, report};
use crate::{
    cli::{CliError, device, generate::read_embedding, model, run_folder::RunFolder},
    config::{Initializer, MethodConfig, MixedPrecision, TrainConfig, TrainOptions},
    data::dataset::Dataset,
    eval::EvaluationDraws,
    fingerprint::Fingerprint,
    pipelines::ModelFolder,
    session::{Start, Tokens},
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
    /// Stands for the options and the concept's pictures.
    pub fingerprint: Fingerprint,
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
        let (options, model, config) = model::of_run(options.clone())?;
        let size = config.resolution.unwrap_or(model.native_resolution());
        model.check_size(size, size).map_err(CliError::input)?;
        let scheduler = config.scheduler.unwrap_or(model.scheduler().kind());
        let sampler = model.scheduler().build(scheduler, config.num_inference_steps, config.eta);
        sampler.map_err(CliError::input)?;
        let start = start(&config, &model)?;
        // a search of the vocabulary ends in one token
        let tokens = start.clone().unwrap_or(Start::Tokens(vec![0]));
        let num_vectors =
            Tokens::new(&config, &model, tokens).map_err(CliError::input)?.num_vectors();
        check_evaluation(&config, &model)?;
        check_scores(&config, &model)?;
        super::class_pictures::check(&config)?;
        let dataset = Dataset::from_folder(&config.train_data_dir, size, config.crop);
        let dataset = dataset.map_err(CliError::input)?;
        Ok(Self { options, config, model, start, dataset, size, num_vectors })
    }

    /// What the `config.toml` of such a run holds: all options, with paths that hold from any
    /// working folder, so that the run can be resumed from anywhere.
    pub(in crate::cli) fn saved(&self) -> Result<TrainOptions, CliError> {
        Ok(TrainOptions { output_dir: None, ..absolute(self.options.clone())? })
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
        let fingerprint = with_pictures(Fingerprint::of(saved.as_bytes()), &dataset);
        let (folder, state) = match resumed {
            Some(folder) => {
                let state = read_state(&folder)?;
                (folder, state)
            }
            None => {
                let named = options.output_dir.as_deref();
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
            fingerprint,
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
                "precision  f32: `mixed_precision` is {}, but this version computes in f32 on {}",
                report::precision(config.mixed_precision),
                self.device_name
            );
        }
        println!("criterion  {}", report::criterion(config));
        println!("output     {}", self.folder.path().display());
        if let Some(state) = &self.state {
            println!("resuming   at step {}", state.step);
        }
    }
}

/// Where the vectors start, if that can be said without loading a network.
fn start(config: &TrainConfig, model: &ModelFolder) -> Result<Option<Start>, CliError> {
    if let Initializer::File(file) = &config.initializer {
        return Ok(Some(Start::Vectors(read_embedding(file)?)));
    }
    let tokenizer = model.tokenizer().map_err(CliError::input)?;
    Start::from_tokenizer(config, &tokenizer).map_err(CliError::input)
}

/// `triple` has only a third of the schedule's time steps for each interval.
fn check_evaluation(config: &TrainConfig, model: &ModelFolder) -> Result<(), CliError> {
    let steps = model.scheduler().noise_schedule().alphas_cumprod().len();
    let (inputs, most) =
        (config.eval_batch_size * config.eval_rounds, EvaluationDraws::most_triple_inputs(steps));
    if config.triple && inputs > most {
        return Err(CliError::Input(format!(
            "`triple` evaluates {inputs} inputs, but a third of the schedule has {most} time steps; lower `--eval-batch-size` or `--eval-gradient-accumulation-steps`"
        )));
    }
    Ok(())
}

/// Scores that decide need a scorer.
fn check_scores(config: &TrainConfig, model: &ModelFolder) -> Result<(), CliError> {
    let searched = matches!(config.initializer, Initializer::Best | Initializer::Worst);
    if (config.stopping.scores() || searched) && config.clip.is_none() && !model.has_clip() {
        let what = match config.stopping.scores() {
            true => "this `--stopping` scores samples",
            false => "this `--init-strategy` scores the vocabulary",
        };
        return Err(CliError::Input(format!(
            "{what} by CLIP, which {} does not bring; give a CLIP folder with `--clip`, such as openai/clip-vit-base-patch32",
            model.name()
        )));
    }
    Ok(())
}

fn absolute(mut options: TrainOptions) -> Result<TrainOptions, CliError> {
    // neither the embedded model nor a name on the Hub is a path
    let folders = [&mut options.model, &mut options.clip];
    let folders = folders.into_iter().flatten().filter(|folder| folder.is_dir());
    let always =
        [&mut options.train_data_dir, &mut options.class_data_dir, &mut options.initializer_file];
    for path in folders.chain(always.into_iter().flatten()) {
        *path = std::path::absolute(&*path).map_err(CliError::input)?;
    }
    Ok(options)
}

/// The same with more pictures.
pub(super) fn with_pictures(fingerprint: Fingerprint, dataset: &Dataset) -> Fingerprint {
    dataset.pictures().iter().fold(fingerprint, |hash, picture| hash.and(picture.pixels()))
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

/// Whether the method trains on pictures of a class.
pub(super) fn class_settings(
    config: &TrainConfig,
) -> Option<(&str, Option<&std::path::Path>, usize)> {
    match &config.method {
        MethodConfig::CustomDiffusion {
            class_prompt, class_data_dir, num_class_images, ..
        } => Some((class_prompt, class_data_dir.as_deref(), *num_class_images)),
        _ => None,
    }
}
