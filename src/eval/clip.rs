//! CLIP scores (Radford et al. 2021; Gal et al. 2022, section 5.1).

use burn::tensor::{Device, Tensor, TensorData};
use dvar_models::clip::ClipModel;
use serde::Deserialize;

use crate::{
    data::{
        clip_pixels::{CLIP_MEAN, CLIP_STD, ClipOrder, clip_pixel_values},
        image::Picture,
    },
    pipelines::{ModelFolder, PipelineError},
};

/// Compares pictures by the features of a CLIP model.
#[derive(Debug)]
pub struct ClipScorer {
    model: ClipModel,
    image_size: usize,
    mean: [f32; 3],
    std: [f32; 3],
    device: Device,
}

/// The part of `preprocessor_config.json` that differs between models.
#[derive(Deserialize)]
#[serde(default)]
struct Preprocessor {
    image_mean: [f32; 3],
    image_std: [f32; 3],
}

impl Default for Preprocessor {
    fn default() -> Self {
        Self { image_mean: CLIP_MEAN, image_std: CLIP_STD }
    }
}

impl ClipScorer {
    /// Loads the scorer in the model folder's `clip/`, where there is one.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if its files are broken.
    pub fn load(folder: &ModelFolder, device: &Device) -> Result<Option<Self>, PipelineError> {
        let Some((model, image_size)) = folder.load_clip(device)? else { return Ok(None) };
        let preprocessor: Preprocessor =
            folder.json("clip/preprocessor_config.json")?.unwrap_or_default();
        let Preprocessor { image_mean: mean, image_std: std } = preprocessor;
        Ok(Some(Self { model, image_size, mean, std, device: device.clone() }))
    }

    /// CLIP-I: the mean cosine similarity over all pairs of a reference and a generated picture.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Device`] if the result cannot be read.
    pub async fn image_similarity(
        &self,
        references: &[Picture],
        generated: &[Picture],
    ) -> Result<f64, PipelineError> {
        let similarities = self.features(references).matmul(self.features(generated).transpose());
        let mean = similarities.mean().into_data_async().await;
        let mean = mean.map_err(|error| PipelineError::Device(error.to_string()))?;
        Ok(mean.iter::<f64>().next().unwrap_or(f64::NAN))
    }

    /// Features of length 1, `[pictures, projection_dim]`; pictures one at a time, so that many
    /// cost no more memory than one.
    fn features(&self, pictures: &[Picture]) -> Tensor<2> {
        let features = pictures.iter().map(|picture| {
            let size = self.image_size;
            let values = clip_pixel_values(picture, size, self.mean, self.std, ClipOrder::OpenAi);
            let pixels = TensorData::new(values, [1, 3, size, size]);
            normalize(self.model.image_features(Tensor::from_data(pixels, &self.device)))
        });
        Tensor::cat(features.collect(), 0)
    }
}

/// Rows of length 1.
fn normalize(features: Tensor<2>) -> Tensor<2> {
    let length = features.clone().square().sum_dim(1).sqrt().clamp_min(1e-8);
    features / length
}
