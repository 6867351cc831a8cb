//! A model with all that drawing needs, with a learned concept in it or without.

use burn::tensor::{Device, Tensor};
use dvar_models::{unet::UNet2DConditionModel, vae::AutoencoderKl};

use super::SessionError;
use crate::{
    concept::{LearnedAdapter, vectors_of},
    data::image::Picture,
    embedding::LearnedEmbedding,
    pipelines::{
        DrawProgress, ModelFolder, PipelineError, PromptEncoder, PromptTokenizers, SamplingOptions,
        TextToImage,
    },
    schedulers::SchedulerConfig,
};

/// The loaded networks of a model.
#[derive(Debug)]
pub struct Generator {
    encoder: PromptEncoder,
    /// With the adapters in it.
    unet: UNet2DConditionModel,
    vae: AutoencoderKl,
    scheduler: SchedulerConfig,
    /// The learned vectors for each text encoder; without a concept, some that no prompt asks for.
    vectors: Vec<Tensor<2>>,
}

impl Generator {
    /// Loads a model's networks and puts learned concepts and an adapter into them.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if a file of the model is missing or broken, or a concept is of another
    /// model.
    pub fn load(
        model: &ModelFolder,
        embeddings: &[LearnedEmbedding],
        adapter: Option<&LearnedAdapter>,
        device: &Device,
    ) -> Result<Self, SessionError> {
        let tokenizers = tokenizers_with(model, embeddings)?;
        Self::with_tokenizers(model, tokenizers, embeddings, adapter, device)
    }

    /// The same with tokenizers of [`tokenizers_with`], which may treat long prompts in another way.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn with_tokenizers(
        model: &ModelFolder,
        tokenizers: PromptTokenizers,
        embeddings: &[LearnedEmbedding],
        adapter: Option<&LearnedAdapter>,
        device: &Device,
    ) -> Result<Self, SessionError> {
        let encoder = model.load_prompt_encoder(tokenizers, device)?;
        let vectors = match embeddings {
            [] => {
                let widths = model.embedding_widths().0.into_iter();
                widths.map(|(_, width)| Tensor::zeros([1, width], device)).collect()
            }
            embeddings => vectors_of(embeddings, device),
        };
        let generator = Self {
            encoder,
            unet: model.load_unet(device)?,
            vae: model.load_vae(device)?,
            scheduler: model.scheduler().clone(),
            vectors,
        };
        adapter.into_iter().try_fold(generator, Self::with_adapter)
    }

    /// The same with what an adapter changes in the denoiser and the text encoders, on top of what
    /// others have changed.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the adapter is of another model.
    pub fn with_adapter(self, adapter: &LearnedAdapter) -> Result<Self, SessionError> {
        let device = self.vectors[0].device();
        let (unet, encoder) = adapter.apply(self.unet, self.encoder, &device)?;
        Ok(Self { unet, encoder, ..self })
    }

    /// Draws one picture for each prompt; see [`TextToImage::generate`].
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if the options make no sense or the device fails, and what the watch gives.
    pub async fn draw(
        &self,
        first: usize,
        prompts: &[String],
        negative_prompt: Option<&str>,
        options: &SamplingOptions,
        watch: Option<&dyn DrawProgress>,
    ) -> Result<Vec<Picture>, PipelineError> {
        let Self { encoder, unet, vae, scheduler, vectors } = self;
        let pipeline = TextToImage { encoder, unet, vae, scheduler, watch };
        pipeline.generate(first, prompts, negative_prompt, vectors, options).await
    }
}

/// A model's tokenizers, which know the words of these embeddings.
///
/// # Errors
///
/// [`SessionError`] if an embedding is of another model, or its word cannot be a new token.
pub fn tokenizers_with(
    model: &ModelFolder,
    embeddings: &[LearnedEmbedding],
) -> Result<PromptTokenizers, SessionError> {
    let mut tokenizers = model.tokenizers()?;
    for embedding in embeddings {
        embedding.check_fit(model)?;
        let (token, count) = (embedding.placeholder_token(), embedding.num_vectors());
        tokenizers.add_placeholder(token, count).map_err(PipelineError::from)?;
    }
    Ok(tokenizers)
}

/// Checks how pictures shall be drawn, before anything is loaded.
///
/// # Errors
///
/// [`SessionError`] that names the option.
pub fn check_sampling(options: &SamplingOptions, model: &ModelFolder) -> Result<(), SessionError> {
    let scale = options.guidance_scale;
    if !(scale.is_finite() && scale >= 0.0) {
        return Err(SessionError::OutOfRange {
            option: "guidance_scale",
            value: scale.to_string(),
            expected: "a number from 0 on",
        });
    }
    model.check_size(options.width, options.height)?;
    let scheduler = model.scheduler();
    let built = scheduler.build(options.scheduler, options.num_inference_steps, options.eta);
    built.map(|_| ()).map_err(|error| PipelineError::from(error).into())
}
