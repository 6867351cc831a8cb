//! The options of a run, each of which may be left open.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{InitStrategy, Logger, MixedPrecision, OptimizerKind, Stopping};
use crate::{
    concept::Method,
    data::{
        dataset::{CropMode, Pairing},
        templates::LearnableProperty,
    },
    early_stopping::CriterionError,
    eval::EvaluationSwitches,
    optim::LrScheduler,
    schedulers::{BetaSchedule, SchedulerKind},
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
    /// Folder of the model in diffusers' layout, its name on the Hub, `sd`, `ldm` or `embedded` [default: embedded]
    #[cfg_attr(feature = "cli", arg(long, short, value_name = "DIR"))]
    pub model: Option<PathBuf>,
    /// Folder with the 3-6 pictures of the concept
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub train_data_dir: Option<PathBuf>,
    /// New word that will stand for the concept, such as `<my-cat>`
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOKEN"))]
    pub placeholder_token: Option<String>,
    /// Known word that the concept starts from, such as `cat`
    #[cfg_attr(feature = "cli", arg(long, value_name = "WORD", help_heading = "Start"))]
    pub initializer_token: Option<String>,
    /// Text whose tokens the vectors start from, one vector for each token
    #[cfg_attr(feature = "cli", arg(long, value_name = "TEXT", help_heading = "Start"))]
    pub initializer_text: Option<String>,
    /// Learned embedding that the vectors start from
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Start"))]
    pub initializer_file: Option<PathBuf>,
    /// Where the vectors start: token, text, file, random, or the vocabulary's best or worst by CLIP [default: as an initializer is given]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW", help_heading = "Start"))]
    pub init_strategy: Option<InitStrategy>,
    /// Vectors that the concept is made of [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Start"))]
    pub num_vectors: Option<usize>,
    /// What is trained: textual-inversion, dreambooth-lora or custom-diffusion [default: textual-inversion]
    #[cfg_attr(feature = "cli", arg(long, value_name = "METHOD", help_heading = "Method"))]
    pub method: Option<Method>,
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
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Training"))]
    pub max_train_steps: Option<usize>,
    /// Inputs of one forward pass [default: 4]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Training"))]
    pub train_batch_size: Option<usize>,
    /// Forward passes whose gradients are averaged for one update [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Training"))]
    pub gradient_accumulation_steps: Option<usize>,
    /// Learning rate [default: 0.005]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATE", help_heading = "Training"))]
    pub learning_rate: Option<f64>,
    /// Multiply the learning rate by batch size and accumulation steps [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Training"))]
    pub scale_lr: Option<bool>,
    /// constant, constant_with_warmup, linear, cosine, cosine_with_restarts or polynomial [default: constant]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "Training"))]
    pub lr_scheduler: Option<LrScheduler>,
    /// Updates over which the learning rate rises, where the schedule has a rise [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Training"))]
    pub lr_warmup_steps: Option<usize>,
    /// adamw or sam [default: adamw]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "Training"))]
    pub optimizer: Option<OptimizerKind>,
    /// Whether the length of SAM's climb is scaled by the parameters [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Training"))]
    pub sam_adaptive: Option<bool>,
    /// Length of SAM's climb [default: 0.05]
    #[cfg_attr(feature = "cli", arg(long, value_name = "LENGTH", help_heading = "Training"))]
    pub sam_rho: Option<f64>,
    /// Momentum of the SGD inside SAM [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE", help_heading = "Training"))]
    pub sam_momentum: Option<f64>,
    /// Cut the gradient to this length [default: 1 for custom-diffusion, else none]
    #[cfg_attr(feature = "cli", arg(long, value_name = "LENGTH", help_heading = "Training"))]
    pub max_grad_norm: Option<f64>,
    /// no, fp16 or bf16 [default: no]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", help_heading = "Training"))]
    pub mixed_precision: Option<MixedPrecision>,
    /// Compute the UNet's activations again in the backward pass: much less memory, more time [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Training"))]
    pub gradient_checkpointing: Option<bool>,
    /// What ends the run: dvar, clip-s, few-iters or baseline [default: dvar]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW", help_heading = "Stopping"))]
    pub stopping: Option<Stopping>,
    /// DVAR: how many of the last deterministic losses are compared with all [default: 282]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Stopping"))]
    pub window: Option<usize>,
    /// DVAR: stop when the ratio of variances falls under this; 0 never stops [default: 0.39]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATIO", help_heading = "Stopping"))]
    pub threshold: Option<f64>,
    /// CLIP-s: a score must exceed the best one by this to count [default: 0.05]
    #[cfg_attr(feature = "cli", arg(long, value_name = "GAIN", help_heading = "Stopping"))]
    pub min_delta: Option<f64>,
    /// CLIP-s: scores without such a gain that are allowed in a row [default: 5]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Stopping"))]
    pub patience: Option<usize>,
    /// Updates between two scored samples; 0 draws none on the way [default: 50 for clip-s, 500 for baseline, else 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Stopping"))]
    pub sample_frequency: Option<usize>,
    /// Updates between two deterministic evaluations [default: 1]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "N", help_heading = "Deterministic evaluation")
    )]
    pub eval_interval: Option<usize>,
    /// Inputs of the deterministic evaluation [default: 4]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "N", help_heading = "Deterministic evaluation")
    )]
    pub eval_batch_size: Option<usize>,
    /// Which factors of the evaluation are fixed (1) or redrawn (0): images, latents, noise, captions, timesteps [default: 11111]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "CODE", help_heading = "Deterministic evaluation")
    )]
    pub exp_code: Option<EvaluationSwitches>,
    /// Evaluate the posterior's mean in place of a sample [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Deterministic evaluation"))]
    pub mean_latent: Option<bool>,
    /// Evaluate without diffusion noise [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Deterministic evaluation"))]
    pub mean_noise: Option<bool>,
    /// Record the evaluation of each third of the time steps too [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Deterministic evaluation"))]
    pub triple: Option<bool>,
    /// Record the evaluation of each input too [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Deterministic evaluation"))]
    pub each_input: Option<bool>,
    /// Rounds of the deterministic evaluation, each with its own time steps [default: 1]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "N", help_heading = "Deterministic evaluation")
    )]
    pub eval_gradient_accumulation_steps: Option<usize>,
    /// Updates between two checkpoints [default: 50]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Training"))]
    pub save_steps: Option<usize>,
    /// Noise of training: linear, scaled_linear or squaredcos_cap_v2 [default: the model's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "Training"))]
    pub beta_schedule: Option<BetaSchedule>,
    /// First step of the noise schedule that is trained and evaluated on [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "STEP", help_heading = "Training"))]
    pub min_timestep: Option<usize>,
    /// Step of the noise schedule before which training and evaluation end [default: the schedule's length]
    #[cfg_attr(feature = "cli", arg(long, value_name = "STEP", help_heading = "Training"))]
    pub max_timestep: Option<usize>,
    /// How likely a picture is mirrored [default: 0.5]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE", help_heading = "Training"))]
    pub flip: Option<f64>,
    /// Prompts of the sample grids, `{}` stands for the concept; may be repeated
    #[cfg_attr(feature = "cli", arg(long, value_name = "PROMPT", help_heading = "Samples"))]
    pub validation_prompt: Option<Vec<String>>,
    /// Pictures of each validation prompt [default: as many as fill the grid]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Samples"))]
    pub n_images_per_val_prompt: Option<usize>,
    /// Pictures in a sample grid without validation prompts [default: 8]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Samples"))]
    pub num_samples: Option<usize>,
    /// Draw a sample grid without guidance too [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Samples"))]
    pub log_unscaled: Option<bool>,
    /// Save the vectors as they start too [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Start"))]
    pub save_init_embeds: Option<bool>,
    /// Score samples on the way by CLIP-T too, the likeness to their prompts [default: false]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Samples"))]
    pub clip_t: Option<bool>,
    /// Folder of the CLIP model that scores, or its name on the Hub [default: the model's `clip/`]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", help_heading = "Samples"))]
    pub clip: Option<PathBuf>,
    /// custom-diffusion: what the concept is one of, such as `cat`
    #[cfg_attr(feature = "cli", arg(long, value_name = "TEXT", help_heading = "Method"))]
    pub class_prompt: Option<String>,
    /// custom-diffusion: folder with pictures of the class; what is missing is drawn by the model [default: in the run's folder]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", help_heading = "Method"))]
    pub class_data_dir: Option<PathBuf>,
    /// custom-diffusion: pictures of the class [default: 200]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Method"))]
    pub num_class_images: Option<usize>,
    /// custom-diffusion: what the loss on the class counts [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "WEIGHT", help_heading = "Method"))]
    pub prior_loss_weight: Option<f64>,
    /// dreambooth-lora: rank of the additions [default: 4]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Method"))]
    pub lora_rank: Option<usize>,
    /// dreambooth-lora: how strongly the additions count [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCALE", help_heading = "Method"))]
    pub lora_scale: Option<f64>,
    /// Also log for another program: `none`, `tensorboard` or `wandb` [default: none]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "Logs"))]
    pub logger: Option<Logger>,
    /// W&B project [default: dvar_inversion]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "Logs"))]
    pub project_name: Option<String>,
    /// W&B name of the run [default: the output folder's name]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "Logs"))]
    pub exp_name: Option<String>,
    /// W&B user or team [default: whoever runs `wandb sync`]
    #[cfg_attr(feature = "cli", arg(long, value_name = "ENTITY", help_heading = "Logs"))]
    pub wandb: Option<String>,
    /// How pictures meet templates: `all-pairs` or `official` [default: all-pairs]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    pub pairing: Option<Pairing>,
    /// Cycles of `cosine_with_restarts` [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Training"))]
    pub lr_num_cycles: Option<usize>,
    /// Power of `polynomial` [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "POWER", help_heading = "Training"))]
    pub lr_power: Option<f64>,
    /// AdamW's decay of the mean [default: 0.9]
    #[cfg_attr(feature = "cli", arg(long, value_name = "VALUE", help_heading = "Training"))]
    pub adam_beta1: Option<f64>,
    /// AdamW's decay of the square [default: 0.999]
    #[cfg_attr(feature = "cli", arg(long, value_name = "VALUE", help_heading = "Training"))]
    pub adam_beta2: Option<f64>,
    /// AdamW's addition to the denominator [default: 1e-8]
    #[cfg_attr(feature = "cli", arg(long, value_name = "VALUE", help_heading = "Training"))]
    pub adam_epsilon: Option<f64>,
    /// AdamW's weight decay [default: 0.01]
    #[cfg_attr(feature = "cli", arg(long, value_name = "VALUE", help_heading = "Training"))]
    pub adam_weight_decay: Option<f64>,
    /// Sampler of the sample grids [default: the model's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "Samples"))]
    pub scheduler: Option<SchedulerKind>,
    /// Denoising steps of the sample grids [default: 50]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Samples"))]
    pub num_inference_steps: Option<usize>,
    /// Guidance of the sample grids [default: 7.5]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCALE", help_heading = "Samples"))]
    pub guidance_scale: Option<f64>,
    /// Seed of the sample grids [default: 37]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", value_parser = seeds(), help_heading = "Samples"))]
    pub sampling_seed: Option<u64>,
    /// Share of fresh noise in each DDIM step of the sample grids [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE", help_heading = "Samples"))]
    pub eta: Option<f64>,
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
