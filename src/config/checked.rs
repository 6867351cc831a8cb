//! Options with nothing left open and nothing out of range.

use std::path::PathBuf;

use super::{ConfigError, Logger, TrainOptions};
use crate::{
    data::{
        dataset::{CropMode, Pairing},
        templates::LearnableProperty,
    },
    early_stopping::Dvar,
    optim::{AdamWConfig, LrSchedule},
    schedulers::SchedulerKind,
    trainer::TrainerConfig,
};

/// A checked run: [`TrainOptions`] with nothing left open and nothing out of range.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// Folder with the concept's pictures.
    pub train_data_dir: PathBuf,
    /// New word that will stand for the concept.
    pub placeholder_token: String,
    /// Known word that the concept starts from.
    pub initializer_token: String,
    /// Vectors that the concept is made of.
    pub num_vectors: usize,
    /// What the pictures share.
    pub learnable_property: LearnableProperty,
    /// Seed of every random draw of the training.
    pub seed: u64,
    /// Height and width of the training pictures; the model's own if open.
    pub resolution: Option<usize>,
    /// How a picture becomes square.
    pub crop: CropMode,
    /// How pictures meet templates.
    pub pairing: Pairing,
    /// Inputs of one forward pass.
    pub train_batch_size: usize,
    /// Steps, accumulation, learning rate, optimiser.
    pub trainer: TrainerConfig,
    /// The stopping criterion at its start.
    pub criterion: Dvar,
    /// DVAR's window, for messages.
    pub window: usize,
    /// DVAR's threshold, for messages.
    pub threshold: f64,
    /// Updates between two deterministic evaluations.
    pub eval_interval: usize,
    /// Inputs of the deterministic evaluation.
    pub eval_batch_size: usize,
    /// Rounds of the deterministic evaluation.
    pub eval_rounds: usize,
    /// Updates between two checkpoints.
    pub save_steps: usize,
    /// Prompts of the sample grids; `{}` stands for the concept. Empty: the kind's usual ones.
    pub validation_prompts: Vec<String>,
    /// Sampler of the sample grids; the model's own if open.
    pub scheduler: Option<SchedulerKind>,
    /// Denoising steps of the sample grids.
    pub num_inference_steps: usize,
    /// Guidance of the sample grids.
    pub guidance_scale: f64,
    /// Seed of the sample grids.
    pub sampling_seed: u64,
    /// The program that the run also logs for.
    pub logger: Logger,
    /// W&B project.
    pub project_name: String,
    /// W&B name of the run; the output folder's if open.
    pub exp_name: Option<String>,
    /// W&B user or team; whoever sends the run if open.
    pub wandb: Option<String>,
}

impl TrainConfig {
    /// Checks options that were laid over the defaults.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first option that is missing or out of range.
    pub fn new(options: &TrainOptions) -> Result<Self, ConfigError> {
        let o = options.clone();
        let train_batch_size = batch("train_batch_size", o.train_batch_size)?;
        let gradient_accumulation_steps =
            batch("gradient_accumulation_steps", o.gradient_accumulation_steps)?;
        let max_train_steps = count("max_train_steps", o.max_train_steps)?;
        let learning_rate = positive("learning_rate", o.learning_rate)?;
        let scaled = set("scale_lr", o.scale_lr)?;
        let scale = if scaled { train_batch_size * gradient_accumulation_steps } else { 1 };
        let lr_schedule = LrSchedule {
            kind: set("lr_scheduler", o.lr_scheduler)?,
            base_lr: learning_rate * scale as f64,
            warmup_steps: set("lr_warmup_steps", o.lr_warmup_steps)?,
            total_steps: max_train_steps,
            num_cycles: set("lr_num_cycles", o.lr_num_cycles)?,
            power: positive("lr_power", o.lr_power)?,
        };
        let adamw = AdamWConfig {
            beta1: decay("adam_beta1", o.adam_beta1)?,
            beta2: decay("adam_beta2", o.adam_beta2)?,
            epsilon: positive("adam_epsilon", o.adam_epsilon)?,
            weight_decay: not_negative("adam_weight_decay", o.adam_weight_decay)?,
        };
        let validation_prompts = o.validation_prompt.unwrap_or_default();
        if let Some(prompt) = validation_prompts.iter().find(|prompt| !prompt.contains("{}")) {
            return Err(ConfigError::OutOfRange {
                option: "validation_prompt",
                value: format!("`{prompt}`"),
                expected: "a text with `{}` where the concept stands",
            });
        }
        let (window, threshold) = (set("window", o.window)?, set("threshold", o.threshold)?);
        Ok(Self {
            train_data_dir: required(
                "train-data-dir",
                "give a folder with 3-6 pictures",
                o.train_data_dir,
            )?,
            placeholder_token: required(
                "placeholder-token",
                "give a new word such as `<my-cat>`",
                o.placeholder_token,
            )?,
            initializer_token: required(
                "initializer-token",
                "give a known word such as `cat`",
                o.initializer_token,
            )?,
            num_vectors: within("num_vectors", o.num_vectors, 1..=64, "from 1 to 64")?,
            learnable_property: set("learnable_property", o.learnable_property)?,
            seed: set("seed", o.seed)?,
            resolution: o
                .resolution
                .map(|r| within("resolution", Some(r), 8..=2048, "from 8 to 2048"))
                .transpose()?,
            crop: set("crop", o.crop)?,
            pairing: set("pairing", o.pairing)?,
            train_batch_size,
            trainer: TrainerConfig {
                max_train_steps,
                gradient_accumulation_steps,
                lr_schedule,
                adamw,
            },
            criterion: Dvar::new(window, threshold)?,
            window,
            threshold,
            eval_interval: count("eval_interval", o.eval_interval)?,
            eval_batch_size: batch("eval_batch_size", o.eval_batch_size)?,
            eval_rounds: batch(
                "eval_gradient_accumulation_steps",
                o.eval_gradient_accumulation_steps,
            )?,
            save_steps: count("save_steps", o.save_steps)?,
            validation_prompts,
            scheduler: o.scheduler,
            num_inference_steps: count("num_inference_steps", o.num_inference_steps)?,
            guidance_scale: not_negative("guidance_scale", o.guidance_scale)?,
            sampling_seed: set("sampling_seed", o.sampling_seed)?,
            logger: set("logger", o.logger)?,
            project_name: set("project_name", o.project_name)?,
            exp_name: o.exp_name,
            wandb: o.wandb,
        })
    }
}

fn required<T>(
    flag: &'static str,
    remedy: &'static str,
    value: Option<T>,
) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing { flag, remedy })
}

fn set<T>(option: &'static str, value: Option<T>) -> Result<T, ConfigError> {
    required(option, "the defaults should have set it", value)
}

fn within(
    option: &'static str,
    value: Option<usize>,
    range: std::ops::RangeInclusive<usize>,
    expected: &'static str,
) -> Result<usize, ConfigError> {
    let value = set(option, value)?;
    if range.contains(&value) {
        return Ok(value);
    }
    Err(ConfigError::OutOfRange { option, value: value.to_string(), expected })
}

fn count(option: &'static str, value: Option<usize>) -> Result<usize, ConfigError> {
    within(option, value, 1..=100_000_000, "a whole number from 1 on")
}

/// Inputs or rounds: enough for any study, too few to ask for all memory.
fn batch(option: &'static str, value: Option<usize>) -> Result<usize, ConfigError> {
    within(option, value, 1..=1024, "from 1 to 1024")
}

fn number(
    option: &'static str,
    value: Option<f64>,
    ok: impl Fn(f64) -> bool,
    expected: &'static str,
) -> Result<f64, ConfigError> {
    let value = set(option, value)?;
    if value.is_finite() && ok(value) {
        return Ok(value);
    }
    Err(ConfigError::OutOfRange { option, value: value.to_string(), expected })
}

fn positive(option: &'static str, value: Option<f64>) -> Result<f64, ConfigError> {
    number(option, value, |value| value > 0.0, "a number above 0")
}

fn not_negative(option: &'static str, value: Option<f64>) -> Result<f64, ConfigError> {
    number(option, value, |value| value >= 0.0, "a number from 0 on")
}

fn decay(option: &'static str, value: Option<f64>) -> Result<f64, ConfigError> {
    number(option, value, |value| (0.0..1.0).contains(&value), "from 0 to below 1")
}
