//! One training run, put together from its parts; native code and the browser share this.

use burn::tensor::{Device, Tensor};

use crate::{
    callbacks::DeterministicEval,
    config::TrainConfig,
    data::{dataset::Dataset, image::Picture, latents::LatentCache, templates::fill},
    embedding::{self, EmbeddingError, LearnedEmbedding},
    eval::{EvaluationDraws, FixedBatch},
    objective::{DiffusionObjective, SeededDraws},
    pipelines::{ModelFolder, PipelineError},
    trainer::{Callback, Concept, Trainer},
};

/// Why a run could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The model or the tokens.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The initial vectors.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
}

/// The tokens of a run, checked against a model's tokenizer before anything is loaded.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: dvar_models::tokenizer::PromptTokenizer,
    placeholder_ids: Vec<u32>,
    initializer_id: u32,
}

impl Tokens {
    /// Registers the placeholder and looks the initializer up.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Tokenizer`] if either cannot be what it is meant to be.
    pub fn new(config: &TrainConfig, model: &ModelFolder) -> Result<Self, PipelineError> {
        let mut tokenizer = model.tokenizer()?;
        let initializer_id = tokenizer.initializer_id(&config.initializer_token)?;
        let placeholder_ids =
            tokenizer.add_placeholder(&config.placeholder_token, config.num_vectors)?;
        Ok(Self { tokenizer, placeholder_ids, initializer_id })
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
    evaluation: FixedBatch,
}

impl Session {
    /// Loads the networks and prepares the data. The autoencoder is dropped once the pictures'
    /// latents are known.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if a weight file is broken or the device fails.
    pub async fn new(
        config: &TrainConfig,
        model: &ModelFolder,
        tokens: Tokens,
        dataset: &Dataset,
        device: &Device,
    ) -> Result<Self, SessionError> {
        let Tokens { tokenizer, placeholder_ids, initializer_id } = tokens;
        let encoder = model.load_prompt_encoder(tokenizer, placeholder_ids, device)?;
        let vae = model.load_vae(device)?;
        let pictures: Vec<Vec<f32>> =
            (0..dataset.pictures().len()).map(|i| dataset.pixel_values(i, false)).collect();
        let size = dataset.pictures().first().map_or(0, Picture::width);
        model.check_size(size, size)?;
        let latents = LatentCache::new(&vae, &pictures, size, device);
        let templates: Vec<Vec<u32>> = config
            .learnable_property
            .templates()
            .iter()
            .map(|template| encoder.tokenize_caption(&fill(template, &config.placeholder_token)))
            .collect();
        let initial = embedding::init::from_token(
            &config.placeholder_token,
            encoder.token_table(),
            initializer_id,
            config.num_vectors,
        )
        .await?;
        let noise_schedule = model.scheduler().noise_schedule().clone();
        let num_train_timesteps = noise_schedule.alphas_cumprod().len();
        let draws = SeededDraws {
            seed: config.seed,
            batch_size: config.train_batch_size,
            pictures: latents.pictures(),
            templates: templates.len(),
            pairing: config.pairing,
            latent_size: latents.latent_shape().iter().product(),
            num_train_timesteps,
        };
        let objective = DiffusionObjective {
            encoder,
            unet: model.load_unet(device)?,
            noise_schedule,
            latents,
            templates,
        };
        let evaluation = EvaluationDraws {
            seed: config.seed,
            batch_size: config.eval_batch_size,
            accumulation_steps: config.eval_rounds,
            pictures: draws.pictures,
            templates: draws.templates,
            latent_size: draws.latent_size,
            num_train_timesteps,
        };
        let evaluation = FixedBatch::new(&objective, &evaluation.draw());
        Ok(Self { objective, draws, initial, evaluation })
    }

    /// The trainer at its start.
    pub fn trainer(&self, config: &TrainConfig) -> Trainer<'_> {
        let concept = Concept::new(&self.initial, &self.objective.device());
        Trainer::new(config.trainer.clone(), &self.objective, &self.draws, concept)
    }

    /// The objective on the fixed batch, without gradient: `[1]`.
    pub fn evaluation_loss(&self, concept: &Concept) -> Tensor<1> {
        self.evaluation.loss(&self.objective, &concept.vectors())
    }

    /// The callback that evaluates the fixed batch and stops the run by DVAR.
    pub fn deterministic_eval(&self, config: &TrainConfig) -> Box<dyn Callback<Concept> + '_> {
        let objective = |concept: &Concept| self.evaluation_loss(concept);
        Box::new(DeterministicEval::new(objective, config.eval_interval, config.criterion.clone()))
    }
}
