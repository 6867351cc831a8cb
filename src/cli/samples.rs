//! The sample grids of a run, before, on the way and after, and their score.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{CliError, run_folder::RunFolder};
use crate::{
    concept::Weights,
    config::TrainConfig,
    data::{image::Picture, png::encode_png, templates::fill},
    eval::{ClipScorer, Features},
    objective::DiffusionObjective,
    pipelines::{ModelFolder, SamplingOptions, TextToImage},
};

/// Draws the same prompts from the same seeds, whatever the concept.
pub(super) struct Samples<'a> {
    pub config: &'a TrainConfig,
    pub model: &'a ModelFolder,
    pub objective: &'a DiffusionObjective,
    /// Where there is a scorer: what it sees in the concept's pictures.
    pub scorer: Option<(&'a ClipScorer, Features)>,
}

/// Pictures and their mean CLIP-I score.
pub(super) struct Drawn {
    pub pictures: Vec<Picture>,
    pub score: Option<f64>,
}

/// What the file [`PROMPTS`] says of one picture.
#[derive(Serialize, Deserialize)]
pub(super) struct Named {
    pub file: String,
    pub prompt: String,
}

/// The file beside single pictures that says what they were drawn from: a list of [`Named`].
pub(super) const PROMPTS: &str = "prompts.json";

impl Samples<'_> {
    /// The pictures and their score.
    pub(super) async fn draw(&self, weights: &Weights) -> Result<Drawn, CliError> {
        let pictures = self.generate(weights, self.config.guidance_scale).await?;
        let score = match &self.scorer {
            Some((scorer, references)) => {
                let score = references.mean_similarity(&scorer.image_features(&pictures)).await;
                Some(score.map_err(CliError::failed)?)
            }
            None => None,
        };
        Ok(Drawn { pictures, score })
    }

    /// The pictures without guidance, not scored.
    pub(super) async fn draw_unscaled(&self, weights: &Weights) -> Result<Drawn, CliError> {
        Ok(Drawn { pictures: self.generate(weights, 1.0).await?, score: None })
    }

    /// The autoencoder is loaded for this and dropped again.
    async fn generate(&self, weights: &Weights, guidance: f64) -> Result<Vec<Picture>, CliError> {
        let (config, device) = (self.config, self.objective.device());
        let vae = self.model.load_vae(&device).map_err(CliError::failed)?;
        let pipeline = TextToImage {
            encoder: &self.objective.encoder,
            unet: &weights.unet(&self.objective.unet),
            vae: &vae,
            scheduler: self.model.scheduler(),
        };
        let options = sampling_options(config, self.model);
        let options = SamplingOptions { guidance_scale: guidance, ..options };
        let drawn = pipeline.generate(0, &self.prompts(), "", &weights.vectors, &options).await;
        drawn.map_err(CliError::failed)
    }

    fn prompts(&self) -> Vec<String> {
        let token = &self.config.placeholder_token;
        self.config.validation_prompts.iter().map(|prompt| fill(prompt, token)).collect()
    }

    /// Writes each picture by itself, and which prompt it was drawn from.
    pub(super) fn write_each(&self, folder: &Path, pictures: &[Picture]) -> Result<(), CliError> {
        std::fs::create_dir_all(folder).map_err(|error| CliError::write(folder, error))?;
        let mut named = Vec::new();
        for (i, (picture, prompt)) in pictures.iter().zip(self.prompts()).enumerate() {
            let file = format!("{i:04}.png");
            let png = encode_png(picture.width(), picture.height(), picture.pixels());
            RunFolder::write(&folder.join(&file), &png.map_err(CliError::failed)?)?;
            named.push(Named { file, prompt });
        }
        let json = serde_json::to_string_pretty(&named).map_err(CliError::failed)?;
        RunFolder::write(&folder.join(PROMPTS), format!("{json}\n").as_bytes())
    }
}

/// How a run draws.
pub(super) fn sampling_options(config: &TrainConfig, model: &ModelFolder) -> SamplingOptions {
    let size = config.resolution.unwrap_or(model.native_resolution());
    SamplingOptions {
        scheduler: config.scheduler.unwrap_or(model.scheduler().kind()),
        num_inference_steps: config.num_inference_steps,
        guidance_scale: config.guidance_scale,
        eta: config.eta,
        height: size,
        width: size,
        seed: config.sampling_seed,
    }
}
