//! The options of a run, each of which may be left open.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        dataset::{CropMode, Pairing},
        templates::LearnableProperty,
    },
    early_stopping::CriterionError,
    optim::LrScheduler,
    schedulers::SchedulerKind,
};

/// What is taken where no flag, file or preset says otherwise.
const DEFAULTS: &str = include_str!("defaults.toml");

/// Options of `dvar train`, each of which may be left open.
///
/// The same names serve as flags (`--train-batch-size`), as keys of a configuration file
/// (`train_batch_size`) and of the preset that a model folder may hold (`dvar.toml`). Flags win
/// over the file, the file over the preset, the preset over the defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    /// Folder of the model in diffusers' layout, or `embedded` [default: embedded]
    #[cfg_attr(feature = "cli", arg(long, short, value_name = "DIR"))]
    pub model: Option<PathBuf>,
    /// Folder with the 3-6 pictures of the concept
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub train_data_dir: Option<PathBuf>,
    /// New word that will stand for the concept, such as `<my-cat>`
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOKEN"))]
    pub placeholder_token: Option<String>,
    /// Known word that the concept starts from, such as `cat`
    #[cfg_attr(feature = "cli", arg(long, value_name = "WORD"))]
    pub initializer_token: Option<String>,
    /// Vectors that the concept is made of [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub num_vectors: Option<usize>,
    /// What the pictures share: `object` or `style` [default: object]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KIND"))]
    pub learnable_property: Option<LearnableProperty>,
    /// Folder to write to; it must not exist yet [default: runs/TOKEN]
    #[cfg_attr(feature = "cli", arg(long, short, value_name = "DIR"))]
    pub output_dir: Option<PathBuf>,
    /// Seed of every random draw [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", value_parser = seeds()))]
    pub seed: Option<u64>,
    /// Height and width of the training pictures [default: the model's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "PIXELS"))]
    pub resolution: Option<usize>,
    /// How a picture becomes square: `center` crops, `squash` distorts [default: center]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    pub crop: Option<CropMode>,
    /// Updates at most [default: 6100]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub max_train_steps: Option<usize>,
    /// Inputs of one forward pass [default: 4]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub train_batch_size: Option<usize>,
    /// Forward passes whose gradients are averaged for one update [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub gradient_accumulation_steps: Option<usize>,
    /// Learning rate [default: 0.005]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATE"))]
    pub learning_rate: Option<f64>,
    /// Multiply the learning rate by batch size and accumulation steps [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true"))]
    pub scale_lr: Option<bool>,
    /// constant, constant_with_warmup, linear, cosine, cosine_with_restarts or polynomial [default: constant]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub lr_scheduler: Option<LrScheduler>,
    /// Updates over which the learning rate rises, where the schedule has a rise [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub lr_warmup_steps: Option<usize>,
    /// DVAR: how many of the last deterministic losses are compared with all [default: 282]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub window: Option<usize>,
    /// DVAR: stop when the ratio of variances falls under this; 0 never stops [default: 0.39]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATIO"))]
    pub threshold: Option<f64>,
    /// Updates between two deterministic evaluations [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub eval_interval: Option<usize>,
    /// Inputs of the deterministic evaluation [default: 4]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub eval_batch_size: Option<usize>,
    /// Updates between two checkpoints [default: 50]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub save_steps: Option<usize>,
    /// Prompts of the sample grids, `{}` stands for the concept; may be repeated
    #[cfg_attr(feature = "cli", arg(long, value_name = "PROMPT"))]
    pub validation_prompt: Option<Vec<String>>,
    /// Also log for another program: `none`, `tensorboard` or `wandb` [default: none]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub logger: Option<Logger>,
    /// W&B project [default: dvar_inversion]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub project_name: Option<String>,
    /// W&B name of the run [default: the output folder's name]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub exp_name: Option<String>,
    /// W&B user or team [default: whoever runs `wandb sync`]
    #[cfg_attr(feature = "cli", arg(long, value_name = "ENTITY"))]
    pub wandb: Option<String>,
    /// Rounds of the deterministic evaluation, each with its own time steps [default: 1]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub eval_gradient_accumulation_steps: Option<usize>,
    /// How pictures meet templates: `all-pairs` or `official` [default: all-pairs]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub pairing: Option<Pairing>,
    /// Cycles of `cosine_with_restarts` [default: 1]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub lr_num_cycles: Option<usize>,
    /// Power of `polynomial` [default: 1]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub lr_power: Option<f64>,
    /// AdamW's settings [default: torch's]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub adam_beta1: Option<f64>,
    /// See `adam_beta1`
    #[cfg_attr(feature = "cli", arg(skip))]
    pub adam_beta2: Option<f64>,
    /// See `adam_beta1`
    #[cfg_attr(feature = "cli", arg(skip))]
    pub adam_epsilon: Option<f64>,
    /// See `adam_beta1`
    #[cfg_attr(feature = "cli", arg(skip))]
    pub adam_weight_decay: Option<f64>,
    /// Sampler of the sample grids [default: the model's]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub scheduler: Option<SchedulerKind>,
    /// Denoising steps of the sample grids [default: 50]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub num_inference_steps: Option<usize>,
    /// Guidance of the sample grids [default: 7.5]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub guidance_scale: Option<f64>,
    /// Seed of the sample grids [default: 37]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub sampling_seed: Option<u64>,
}

/// A program that a run also logs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Logger {
    /// None: `metrics.jsonl` alone.
    None,
    /// TensorBoard, by event files.
    Tensorboard,
    /// W&B, by an offline run for `wandb sync`.
    Wandb,
}

/// Seeds that a TOML file can hold.
#[cfg(feature = "cli")]
fn seeds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(..=i64::MAX as u64)
}

/// Why options make no run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A required option is missing.
    #[error("`--{flag}` is required; {remedy}")]
    Missing {
        /// The flag.
        flag: &'static str,
        /// What to give.
        remedy: &'static str,
    },
    /// An option is out of its range.
    #[error("option `{option}` is {value}; it must be {expected}")]
    OutOfRange {
        /// The option, as a key of a configuration file.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A configuration text does not parse.
    #[error("`{file}` is no usable configuration: {reason}")]
    Unparsable {
        /// The file.
        file: String,
        /// The parser's words.
        reason: String,
    },
    /// The criterion refuses its settings.
    #[error(transparent)]
    Criterion(#[from] CriterionError),
}

impl TrainOptions {
    /// Reads a configuration file's text.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unparsable`] with line and key; unknown keys are refused.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::Unparsable {
            file: file.into(),
            reason: error.to_string().trim_end().to_string(),
        })
    }

    /// The options as a configuration file; open ones are left out.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError::Unparsable {
            file: "config.toml".into(),
            reason: error.to_string(),
        })
    }

    /// These options where they are set, `under` elsewhere.
    pub fn over(&self, under: &Self) -> Result<Self, ConfigError> {
        let table = |options: &Self| toml::Table::try_from(options).map_err(|e| e.to_string());
        let merged = table(under).and_then(|mut merged| {
            merged.extend(table(self)?);
            merged.try_into().map_err(|e: toml::de::Error| e.to_string())
        });
        merged.map_err(|reason| ConfigError::Unparsable { file: "the options".into(), reason })
    }

    /// These options over the defaults.
    pub fn with_defaults(&self) -> Result<Self, ConfigError> {
        self.over(&Self::from_toml(DEFAULTS, "defaults.toml")?)
    }
}
