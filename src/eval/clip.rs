//! CLIP scores (Radford et al. 2021; Gal et al. 2022, section 5.1).

use burn::tensor::{DType, Device, Tensor, TensorData};
use dvar_models::{
    clip::{ClipConfig, ClipModel},
    tokenizer::PromptTokenizer,
    weights::{self, ModelSource},
};
use serde::Deserialize;

use super::{Features, in_transformers_layout, preprocessor};
use crate::{
    data::{
        clip_pixels::{CLIP_MEAN, CLIP_STD, clip_pixel_values},
        image::Picture,
    },
    pipelines::{ModelFolder, PipelineError, text_encoder},
};

/// Compares pictures with pictures and with texts by the features of a CLIP model.
#[derive(Debug)]
pub struct ClipScorer {
    model: ClipModel,
    tokenizer: PromptTokenizer,
    image_size: usize,
    mean: [f32; 3],
    std: [f32; 3],
    device: Device,
}

/// The part of the pictures' preparation that differs between models.
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
        folder.has_clip().then(|| Self::open(folder.files(), "clip", device)).transpose()
    }

    /// Loads a CLIP model in transformers' layout from the sub-folder `folder` of `files`, `.` for
    /// `files` itself.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if a file is missing or broken, or tokenizer and model do not fit.
    pub fn open(
        files: &dyn ModelSource,
        folder: &str,
        device: &Device,
    ) -> Result<Self, PipelineError> {
        let path = |name: &str| format!("{folder}/{name}");
        let file = path("config.json");
        let json = files.read(&file).map_err(in_transformers_layout)?;
        let config = ClipConfig::parse(&json, &files.display(&file))?;
        let preprocessor = preprocessor(files, folder)?.map(|(preprocessor, _)| preprocessor);
        let Preprocessor { image_mean: mean, image_std: std } = preprocessor.unwrap_or_default();
        let text = &config.text_config;
        let tokenizer = text_encoder::clip::tokenizer(files, folder);
        let tokenizer = tokenizer.map_err(in_transformers_layout)?;
        if tokenizer.vocab_size() > text.vocab_size {
            return Err(PipelineError::Mismatch {
                model: files.display(folder),
                problem: format!(
                    "the tokenizer has {} entries, the text tower {}",
                    tokenizer.vocab_size(),
                    text.vocab_size
                ),
            });
        }
        let tokenizer = tokenizer.with_positions(text.max_position_embeddings);
        let model = weights::load(config.init(device), files, folder, DType::F32);
        let model = model.map_err(in_transformers_layout)?;
        let image_size = config.vision_config.image_size;
        Ok(Self { model, tokenizer, image_size, mean, std, device: device.clone() })
    }

    /// What CLIP sees in pictures; one at a time, so that many cost no more memory than one.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn image_features(&self, pictures: &[Picture]) -> Features {
        let seen = pictures.iter().map(|picture| self.seen(picture)).collect();
        Features::new(Tensor::cat(seen, 0))
    }

    /// What CLIP sees in one picture, `[1, width]` of any length.
    pub(super) fn seen(&self, picture: &Picture) -> Tensor<2> {
        let size = self.image_size;
        let values = clip_pixel_values(picture, size, self.mean, self.std);
        let pixels = TensorData::new(values, [1, 3, size, size]);
        self.model.image_features(Tensor::from_data(pixels, &self.device))
    }

    /// What CLIP reads in texts, cut where they are too long; see [`without_placeholder`].
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn text_features(&self, texts: &[String]) -> Features {
        let length = self.tokenizer.positions();
        let ids: Vec<Vec<u32>> =
            texts.iter().map(|text| self.tokenizer.encode(text, length)).collect();
        Features::new(self.model.text_features(&ids))
    }
}

/// A prompt as CLIP can read it: the learned word is unknown to it, so that it is left out, as the
/// official code does.
pub fn without_placeholder(prompt: &str, placeholder_token: &str) -> String {
    prompt.replace(placeholder_token, "")
}
