//! One training run, put together from its parts; native code and the browser share this.

mod class_pictures;
mod generator;
mod samples;
mod settings;

use burn::tensor::Device;
use dvar_models::tokenizer::{PromptTokenizer, TokenizerError};

pub use class_pictures::{class_pictures, draw_class};
pub use generator::{Generator, check_sampling};
pub use samples::{Drawn, Samples, sampling_options};
pub use settings::{Outlook, Settings, advice, fingerprint};

use crate::{
    callbacks::DeterministicEval,
    concept::{AdapterError, Concept},
    config::{ConfigError, Initializer, MethodConfig, TrainConfig},
    data::{dataset::Dataset, image::Picture, templates::fill},
    embedding::{self, EmbeddingError, LearnedEmbedding},
    eval::{EvaluationDraws, FixedBatch, INTERVALS},
    objective::{
        CAPTION_PREFIXES, DiffusionObjective, LatentCache, PriorPreservation, RescaledPictures,
        SeededDraws,
    },
    pipelines::{ModelFolder, PipelineError, PromptEncoder},
    rng::{Purpose, Stream},
    trainer::{Callback, Trainer},
};

/// Why a run could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The model or the tokens.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The initial vectors, or learned ones.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// What a learned concept changes in the denoiser.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// An option by itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An option that does not fit the model or another option; a whole sentence.
    #[error("{0}")]
    Unsuitable(String),
}

impl From<TokenizerError> for SessionError {
    fn from(error: TokenizerError) -> Self {
        Self::Pipeline(error.into())
    }
}

/// Where the vectors start, with nothing left to look up.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// Rows of the token table, repeated in turn to as many vectors as there are.
    Tokens(Vec<u32>),
    /// Given vectors.
    Vectors(LearnedEmbedding),
}

/// The tokens of a run, checked against a model's tokenizer before anything is loaded.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: PromptTokenizer,
    placeholder_ids: Vec<u32>,
    start: Start,
}

impl Tokens {
    /// Registers the placeholder, whose vectors start as `start` says.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Tokenizer`] if the placeholder cannot be a new token,
    /// [`PipelineError::Mismatch`] if the start has another width or more vectors than asked for.
    pub fn new(
        config: &TrainConfig,
        model: &ModelFolder,
        start: Start,
    ) -> Result<Self, PipelineError> {
        let mut tokenizer = model.tokenizer()?;
        let given = match &start {
            Start::Tokens(ids) => ids.len(),
            Start::Vectors(vectors) => vectors.num_vectors(),
        };
        let num_vectors = config.num_vectors.unwrap_or(given);
        let misfit =
            |problem: String| PipelineError::Mismatch { model: model.name().into(), problem };
        if given > num_vectors {
            return Err(misfit(format!(
                "the vectors start from {given}, `--num-vectors` allows {num_vectors}"
            )));
        }
        if let Start::Vectors(vectors) = &start
            && vectors.dim() != model.embedding_dim()
        {
            let (dim, wanted) = (vectors.dim(), model.embedding_dim());
            return Err(misfit(format!(
                "`--initializer-file` holds vectors {dim} wide, the text encoder takes {wanted}"
            )));
        }
        let placeholder_ids = tokenizer.add_placeholder(&config.placeholder_token, num_vectors)?;
        Ok(Self { tokenizer, placeholder_ids, start })
    }

    /// How many vectors the concept is made of.
    pub fn num_vectors(&self) -> usize {
        self.placeholder_ids.len()
    }
}

impl Start {
    /// Looks an initializer up that needs no scorer and no file: a token, a text, or a token at
    /// random; none of the others.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Tokenizer`] if a token is none of the model's.
    pub fn from_tokenizer(
        config: &TrainConfig,
        tokenizer: &PromptTokenizer,
    ) -> Result<Option<Self>, PipelineError> {
        Ok(Some(match &config.initializer {
            Initializer::Token(word) => Self::Tokens(vec![tokenizer.initializer_id(word)?]),
            Initializer::Text(text) => match tokenizer.token_ids(text) {
                // says why such a text is no initializer
                ids if ids.is_empty() => Self::Tokens(vec![tokenizer.initializer_id(text)?]),
                ids => Self::Tokens(ids),
            },
            Initializer::Random => {
                let words = tokenizer.words();
                let drawn = Stream::new(config.seed, Purpose::Initialization, 0).below(words.len());
                Self::Tokens(words.get(drawn).map(|(id, _)| *id).into_iter().collect())
            }
            Initializer::File(_) | Initializer::Best | Initializer::Worst => return Ok(None),
        }))
    }
}

/// The frozen networks, the data and the draws of one run.
#[derive(Debug)]
pub struct Session {
    /// Captions, pictures and networks.
    pub objective: DiffusionObjective,
    /// The random numbers of the training steps.
    pub draws: SeededDraws,
    /// Where the concept's vectors start.
    pub initial: LearnedEmbedding,
    /// The random numbers of the evaluations.
    pub evaluation_draws: EvaluationDraws,
    evaluation: FixedBatch,
}

impl Session {
    /// Loads the networks and prepares the data. The autoencoder is dropped once the pictures'
    /// latents are known, but for methods that rescale the pictures at each step. `class` are the
    /// pictures of the class, for methods with prior preservation.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if a weight file is broken or the device fails.
    pub async fn new(
        config: &TrainConfig,
        model: &ModelFolder,
        tokens: Tokens,
        dataset: &Dataset,
        class: Option<&Dataset>,
        device: &Device,
    ) -> Result<Self, SessionError> {
        let Tokens { tokenizer, placeholder_ids, start } = tokens;
        let num_vectors = placeholder_ids.len();
        let encoder = model.load_prompt_encoder(tokenizer, placeholder_ids, device)?;
        let vae = model.load_vae(device)?;
        let size = dataset.pictures().first().map_or(0, Picture::width);
        model.check_size(size, size)?;
        let latents = |dataset: &Dataset| {
            let pictures: Vec<Vec<f32>> =
                (0..dataset.pictures().len()).map(|i| dataset.pixel_values(i, false)).collect();
            LatentCache::new(&vae, &pictures, size, device)
        };
        let templates = captions(config, &encoder);
        let noise_schedule = model.scheduler().noise_schedule().clone();
        let unet = match config.gradient_checkpointing {
            true => model.load_unet(device)?.with_gradient_checkpointing(),
            false => model.load_unet(device)?,
        };
        let mut objective =
            DiffusionObjective::new(encoder, unet, noise_schedule, latents(dataset), templates);
        let mut rescaled_size = None;
        if let (
            MethodConfig::CustomDiffusion { class_prompt, prior_loss_weight, .. },
            Some(class),
        ) = (&config.method, class)
        {
            objective.prior = Some(PriorPreservation {
                latents: latents(class),
                caption: objective.encoder.tokenize_caption(class_prompt),
                weight: *prior_loss_weight,
            });
            objective.unet = objective.unet.with_first_token_detached();
            let pictures = dataset.pictures().to_vec();
            objective.rescaled = Some(RescaledPictures { vae, pictures, size });
            rescaled_size = Some(size);
        }
        let initial = match start {
            Start::Tokens(ids) => {
                let table = objective.encoder.token_table();
                let token = &config.placeholder_token;
                embedding::init::from_tokens(token, table, &ids, num_vectors).await?
            }
            Start::Vectors(vectors) => {
                embedding::init::from_vectors(&config.placeholder_token, &vectors, num_vectors)?
            }
        };
        let captions = match rescaled_size {
            Some(_) => objective.templates.len() / CAPTION_PREFIXES.len(),
            None => objective.templates.len(),
        };
        let draws = SeededDraws {
            seed: config.seed,
            batch_size: config.train_batch_size,
            pictures: objective.latents.pictures(),
            templates: captions,
            pairing: config.pairing,
            latent_size: objective.latents.latent_shape().iter().product(),
            timesteps: settings::timesteps(config, model)?,
            flip: config.flip,
            rescaled_size,
            class_pictures: objective.prior.as_ref().map_or(0, |prior| prior.latents.pictures()),
        };
        let evaluation = EvaluationDraws {
            seed: config.seed,
            batch_size: config.eval_batch_size,
            accumulation_steps: config.eval_rounds,
            pictures: draws.pictures,
            templates: draws.templates,
            latent_size: draws.latent_size,
            timesteps: draws.timesteps.clone(),
            flip: draws.flip,
            rescaled_size,
            switches: config.switches,
            mean_latent: config.mean_latent,
            mean_noise: config.mean_noise,
        };
        let evaluation_draws = evaluation.clone();
        let mut evaluation = FixedBatch::from_draws(&objective, evaluation, config.triple);
        if config.each_input {
            evaluation = evaluation.with_each_input();
        }
        Ok(Self { objective, draws, initial, evaluation_draws, evaluation })
    }

    /// The concept at its start.
    pub fn concept(&self, config: &TrainConfig) -> Concept {
        let concept = Concept::new(&self.initial, &self.objective.device());
        concept.with_adapter(config.method.adapter(), &self.objective.unet, config.seed)
    }

    /// The trainer at its start.
    pub fn trainer(&self, config: &TrainConfig) -> Trainer<'_> {
        let concept = self.concept(config);
        Trainer::new(config.trainer.clone(), &self.objective, &self.draws, concept)
    }

    /// The objective on the fixed batch, without gradient, then that of each interval with
    /// `triple`: `[1]` each; then that of each input with `each_input`, `[inputs]` of all rounds.
    /// `evaluation` counts the run's evaluations.
    pub fn evaluation_losses(
        &self,
        concept: &Concept,
        evaluation: usize,
    ) -> Vec<burn::tensor::Tensor<1>> {
        self.evaluation.losses(&self.objective, &concept.plain(), evaluation)
    }

    /// The callback that evaluates the fixed batch and stops the run by DVAR.
    pub fn deterministic_eval(&self, config: &TrainConfig) -> Box<dyn Callback<Concept> + '_> {
        let objective = |concept: &Concept, evaluation| self.evaluation_losses(concept, evaluation);
        let intervals = if config.triple { &INTERVALS[..] } else { &[] };
        let inputs =
            if config.each_input { config.eval_batch_size * config.eval_rounds } else { 0 };
        let parts = intervals.iter().map(ToString::to_string);
        let parts = parts.chain((0..inputs).map(|input| format!("input_{input}")));
        let eval = DeterministicEval::from_losses(objective).every(config.eval_interval);
        Box::new(eval.stop_when(config.criterion.clone()).with_parts(parts))
    }
}

/// The token ids of the captions. Custom Diffusion trains on one template, drawn from the seed, with
/// the class' name after the placeholder, and with words on the picture's size before it.
fn captions(config: &TrainConfig, encoder: &PromptEncoder) -> Vec<Vec<u32>> {
    let templates = config.learnable_property.templates();
    let token = &config.placeholder_token;
    let MethodConfig::CustomDiffusion { class_prompt, .. } = &config.method else {
        return templates.iter().map(|t| encoder.tokenize_caption(&fill(t, token))).collect();
    };
    let drawn = Stream::new(config.seed, Purpose::Pairs, u64::MAX).below(templates.len());
    let caption = fill(templates[drawn], &format!("{token} {class_prompt}"));
    let prefixes = CAPTION_PREFIXES.iter();
    prefixes.map(|prefix| encoder.tokenize_caption(&format!("{prefix}{caption}"))).collect()
}
