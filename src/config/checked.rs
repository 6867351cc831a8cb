//! Options with nothing left open and nothing out of range.

use std::path::PathBuf;

use super::{
    ConfigError, Logger, MixedPrecision, Stopping, TextEncoders, TrainOptions,
    initializer::Initializer,
    method::MethodConfig,
    pictures::{caption_templates, reading},
    range::{batch, count, not_negative, out_of_range, required, set, share, within},
    training::trainer,
};
use crate::{
    concept::{LoraFormat, Method},
    data::{dataset::Pairing, reading::Reading, templates::LearnableProperty},
    early_stopping::{Dvar, Plateau, ScorePatience},
    embedding::EmbeddingFormat,
    eval::EvaluationSwitches,
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
    /// Where the concept's vectors start.
    pub initializer: Initializer,
    /// Vectors that the concept is made of; open where the initializer says it.
    pub num_vectors: Option<usize>,
    /// What is trained.
    pub method: MethodConfig,
    /// Of several text encoders, those whose vectors are trained.
    pub text_encoders: TextEncoders,
    /// What the pictures share.
    pub learnable_property: LearnableProperty,
    /// Seed of every random draw of the training.
    pub seed: u64,
    /// Height and width of the training pictures; the model's own if open.
    pub resolution: Option<usize>,
    /// Other tools that get the embedding in a form of their own.
    pub embedding_formats: Vec<EmbeddingFormat>,
    /// Other tools that get the LoRA in a form of their own.
    pub lora_formats: Vec<LoraFormat>,
    /// How the pictures are read.
    pub reading: Reading,
    /// Captions in place of the built-in ones: `{}` stands for the concept, `[caption]` for the text
    /// beside the picture; the built-in ones if empty.
    pub caption_templates: Vec<String>,
    /// Shuffles the tags of the texts beside the pictures.
    pub shuffle_tags: bool,
    /// How likely each of these tags is left out.
    pub tag_dropout: f64,
    /// How pictures meet templates.
    pub pairing: Pairing,
    /// Inputs of one forward pass.
    pub train_batch_size: usize,
    /// Steps, accumulation, learning rate, optimiser.
    pub trainer: TrainerConfig,
    /// What the frozen networks compute in.
    pub mixed_precision: MixedPrecision,
    /// Whether the backward pass computes the UNet's activations again.
    pub gradient_checkpointing: bool,
    /// Whether f32 products may be rounded to TF32.
    pub tf32: bool,
    /// What ends the run.
    pub stopping: Stopping,
    /// DVAR at its start.
    pub criterion: Dvar,
    /// Plateau at its start.
    pub plateau: Plateau,
    /// Window of either, for messages.
    pub window: usize,
    /// Threshold of either, for messages.
    pub threshold: f64,
    /// CLIP-s at its start.
    pub patience: ScorePatience,
    /// Steps between two scored samples, if there are any on the way.
    pub sample_frequency: Option<usize>,
    /// Steps between two deterministic evaluations.
    pub eval_interval: usize,
    /// Inputs of the deterministic evaluation.
    pub eval_batch_size: usize,
    /// Rounds of the deterministic evaluation.
    pub eval_rounds: usize,
    /// Which factors of the evaluation are fixed.
    pub switches: EvaluationSwitches,
    /// Evaluates the posterior's mean.
    pub mean_latent: bool,
    /// Evaluates without diffusion noise.
    pub mean_noise: bool,
    /// Records the evaluation of each third of the time steps.
    pub triple: bool,
    /// Records the evaluation of each input.
    pub each_input: bool,
    /// First step of the noise schedule that is trained on.
    pub min_timestep: usize,
    /// The step after the last one that is trained on; the schedule's length if open.
    pub max_timestep: Option<usize>,
    /// How likely a picture is mirrored.
    pub flip: f64,
    /// Each vector keeps the length that it began with.
    pub preserve_embedding_norm: bool,
    /// Scores samples on the way by CLIP-T too.
    pub clip_t: bool,
    /// Steps between two checkpoints.
    pub save_steps: usize,
    /// Saves the vectors as they start.
    pub save_init_embeds: bool,
    /// Prompts of the sample grids, each as often as it is drawn; `{}` stands for the concept.
    pub validation_prompts: Vec<String>,
    /// Draws a grid without guidance too.
    pub log_unscaled: bool,
    /// Folder of the CLIP model that scores; the model's own if open.
    pub clip: Option<PathBuf>,
    /// Sampler of the sample grids; the model's own if open.
    pub scheduler: Option<SchedulerKind>,
    /// Denoising steps of the sample grids.
    pub num_inference_steps: usize,
    /// Guidance of the sample grids.
    pub guidance_scale: f64,
    /// Share of fresh noise in each DDIM step of the sample grids.
    pub eta: f64,
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
    /// Checks options; where one is open, its default is taken.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first option that is missing or out of range.
    pub fn new(options: &TrainOptions) -> Result<Self, ConfigError> {
        let o = options.with_defaults()?;
        let method = MethodConfig::new(&o)?;
        let train_batch_size = batch("train_batch_size", o.training.train_batch_size)?;
        let trainer = trainer(&o, &method, train_batch_size)?;
        let (window, threshold) =
            (set("window", o.stopping.window), set("threshold", o.stopping.threshold));
        let stopping = set("stopping", o.stopping.stopping);
        let sample_frequency = sample_frequency(&o, stopping)?;
        let eval_batch_size = batch("eval_batch_size", o.evaluation.eval_batch_size)?;
        let eval_rounds = batch(
            "eval_gradient_accumulation_steps",
            o.evaluation.eval_gradient_accumulation_steps,
        )?;
        Ok(Self {
            train_data_dir: required(
                "train_data_dir",
                o.data.train_data_dir.clone(),
                "a folder with 3-6 pictures",
            )?,
            placeholder_token: required(
                "placeholder_token",
                o.data.placeholder_token.clone(),
                "a new word such as `<my-cat>`",
            )?,
            initializer: Initializer::new(&o)?,
            num_vectors: (o.start.num_vectors)
                .map(|n| within("num_vectors", Some(n), 1..=64, "from 1 to 64"))
                .transpose()?,
            method,
            learnable_property: set("learnable_property", o.data.learnable_property),
            seed: set("seed", o.data.seed),
            resolution: (o.data.resolution)
                .map(|r| within("resolution", Some(r), 8..=2048, "from 8 to 2048"))
                .transpose()?,
            lora_formats: lora_formats(&o)?,
            embedding_formats: o.data.embedding_format.clone().unwrap_or_default(),
            reading: reading(&o)?,
            caption_templates: caption_templates(&o)?,
            shuffle_tags: o.pictures.shuffle_tags.unwrap_or(false),
            tag_dropout: share("tag_dropout", o.pictures.tag_dropout.or(Some(0.0)))?,
            pairing: set("pairing", o.data.pairing),
            train_batch_size,
            trainer,
            mixed_precision: set("mixed_precision", o.training.mixed_precision),
            gradient_checkpointing: set(
                "gradient_checkpointing",
                o.training.gradient_checkpointing,
            ),
            tf32: o.training.tf32.unwrap_or(false),
            stopping,
            criterion: Dvar::new(window, threshold)?,
            plateau: Plateau::new(window, threshold)?,
            window,
            threshold,
            patience: ScorePatience::new(
                set("min_delta", o.stopping.min_delta),
                set("patience", o.stopping.patience),
            )?,
            sample_frequency,
            eval_interval: count("eval_interval", o.evaluation.eval_interval)?,
            eval_batch_size,
            eval_rounds,
            switches: set("exp_code", o.evaluation.exp_code),
            mean_latent: set("mean_latent", o.evaluation.mean_latent),
            mean_noise: set("mean_noise", o.evaluation.mean_noise),
            triple: set("triple", o.evaluation.triple),
            // these have no row in the table of defaults, which would change the saved files of
            // runs that do not set them
            each_input: o.evaluation.each_input.unwrap_or(false),
            min_timestep: o.training.min_timestep.unwrap_or(0),
            max_timestep: o.training.max_timestep,
            flip: share("flip", o.training.flip.or(Some(0.5)))?,
            preserve_embedding_norm: o.training.preserve_embedding_norm.unwrap_or(false),
            text_encoders: o.method.text_encoders.unwrap_or(TextEncoders::Both),
            clip_t: o.samples.clip_t.unwrap_or(false),
            save_steps: count("save_steps", o.training.save_steps)?,
            save_init_embeds: set("save_init_embeds", o.start.save_init_embeds),
            validation_prompts: validation_prompts(&o)?,
            log_unscaled: set("log_unscaled", o.samples.log_unscaled),
            clip: o.samples.clip,
            scheduler: o.samples.scheduler,
            num_inference_steps: count("num_inference_steps", o.samples.num_inference_steps)?,
            guidance_scale: not_negative("guidance_scale", o.samples.guidance_scale)?,
            eta: share("eta", o.samples.eta)?,
            sampling_seed: set("sampling_seed", o.samples.sampling_seed),
            logger: set("logger", o.logs.logger),
            project_name: set("project_name", o.logs.project_name),
            exp_name: o.logs.exp_name,
            wandb: o.logs.wandb,
        })
    }

    /// Inputs of the deterministic evaluation in all its rounds.
    pub fn eval_inputs(&self) -> usize {
        self.eval_batch_size * self.eval_rounds
    }

    /// Evaluations that it takes until the deterministic loss can end the run; without end where it does
    /// not decide.
    pub fn evaluations_to_stop(&self) -> usize {
        match self.stopping {
            Stopping::Dvar => self.window.saturating_add(1),
            Stopping::Plateau => self.window.saturating_mul(2),
            Stopping::ClipS | Stopping::FewIters | Stopping::Baseline => usize::MAX,
        }
    }
}

/// Whom a LoRA is written for too; refused where none is learned.
fn lora_formats(o: &TrainOptions) -> Result<Vec<LoraFormat>, ConfigError> {
    let formats = o.method.lora_format.clone().unwrap_or_default();
    match formats.first() {
        Some(format) if o.method.method != Some(Method::DreamboothLora) => {
            let expected =
                "left out, or with the method `dreambooth-lora`, which alone learns a LoRA";
            Err(out_of_range("lora_format", format!("`{}`", format.name()), expected))
        }
        _ => Ok(formats),
    }
}

/// Steps between two scored samples; none where none are drawn on the way.
fn sample_frequency(o: &TrainOptions, stopping: Stopping) -> Result<Option<usize>, ConfigError> {
    let every = o.stopping.sample_frequency.unwrap_or(stopping.default_sample_frequency());
    if every == 0 && stopping.scores() {
        let expected = "above 0 where scores decide (`clip-s`, `baseline`)";
        return Err(out_of_range("sample_frequency", 0, expected));
    }
    Ok((every > 0).then_some(every))
}

/// The grid's prompts: those of the user in turn, or the kind's plainest one.
fn validation_prompts(o: &TrainOptions) -> Result<Vec<String>, ConfigError> {
    let prompts = o.samples.validation_prompt.clone().unwrap_or_default();
    if let Some(prompt) = prompts.iter().find(|prompt| !prompt.contains("{}")) {
        let expected = "a text with `{}` where the concept stands";
        return Err(out_of_range("validation_prompt", format!("`{prompt}`"), expected));
    }
    let plain = match set("learnable_property", o.data.learnable_property) {
        LearnableProperty::Object => "a photo of a {}",
        LearnableProperty::Style => "a painting in the style of {}",
    };
    let samples = batch("num_samples", o.samples.num_samples)?;
    if prompts.is_empty() {
        return Ok(vec![plain.to_string(); samples]);
    }
    let count = match o.samples.n_images_per_val_prompt {
        Some(each) => batch("n_images_per_val_prompt", Some(each))? * prompts.len(),
        None => samples.max(prompts.len()),
    };
    Ok(prompts.into_iter().cycle().take(count).collect())
}
