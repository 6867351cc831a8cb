//! The sample grids of a run, before and after, and their score.

use burn::tensor::Tensor;

use super::CliError;
use crate::{
    config::TrainConfig,
    data::{
        image::Picture,
        templates::{LearnableProperty, fill},
    },
    eval::ClipScorer,
    objective::DiffusionObjective,
    pipelines::{ModelFolder, SamplingOptions, TextToImage},
};

/// Pictures in a grid; also how many the CLIP-I score is the mean over.
const COUNT: usize = 8;

/// Draws the same prompts from the same seeds, whatever the vectors.
pub(super) struct Samples<'a> {
    pub config: &'a TrainConfig,
    pub model: &'a ModelFolder,
    pub objective: &'a DiffusionObjective,
    /// Scores the pictures against the concept's, where the model brings a scorer.
    pub scorer: Option<&'a ClipScorer>,
    pub references: &'a [Picture],
}

impl Samples<'_> {
    /// The pictures and their mean CLIP-I score.
    ///
    /// The autoencoder is loaded for this and dropped again.
    pub(super) async fn draw(
        &self,
        vectors: &Tensor<2>,
    ) -> Result<(Vec<Picture>, Option<f64>), CliError> {
        let (config, device) = (self.config, self.objective.device());
        let vae = self.model.load_vae(&device).map_err(CliError::failed)?;
        let pipeline = TextToImage {
            encoder: &self.objective.encoder,
            unet: &self.objective.unet,
            vae: &vae,
            scheduler: self.model.scheduler(),
        };
        let options = sampling_options(config, self.model);
        let pictures = pipeline
            .generate(0, &prompts(config), "", vectors, &options)
            .await
            .map_err(CliError::failed)?;
        let score = match self.scorer {
            Some(scorer) => Some(
                scorer
                    .image_similarity(self.references, &pictures)
                    .await
                    .map_err(CliError::failed)?,
            ),
            None => None,
        };
        Ok((pictures, score))
    }
}

/// How a run draws.
pub(super) fn sampling_options(config: &TrainConfig, model: &ModelFolder) -> SamplingOptions {
    let size = config.resolution.unwrap_or(model.native_resolution());
    SamplingOptions {
        scheduler: config.scheduler.unwrap_or(model.scheduler().kind()),
        num_inference_steps: config.num_inference_steps,
        guidance_scale: config.guidance_scale,
        eta: 0.0,
        height: size,
        width: size,
        seed: config.sampling_seed,
    }
}

/// The user's prompts, or the kind's plainest one; `{}` stands for the concept.
pub(super) fn templates(config: &TrainConfig) -> Vec<String> {
    let plain = match config.learnable_property {
        LearnableProperty::Object => "a photo of a {}",
        LearnableProperty::Style => "a painting in the style of {}",
    };
    match config.validation_prompts.as_slice() {
        [] => vec![plain.to_string()],
        prompts => prompts.to_vec(),
    }
}

/// The grid's prompts, each in turn.
fn prompts(config: &TrainConfig) -> Vec<String> {
    let templates = templates(config);
    let count = COUNT.max(templates.len());
    let filled = templates.iter().map(|prompt| fill(prompt, &config.placeholder_token));
    filled.cycle().take(count).collect()
}
