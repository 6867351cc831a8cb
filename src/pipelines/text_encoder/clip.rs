//! CLIP's text tower: what Stable Diffusion 1.x and 2.x take of it, and what SDXL does.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor};
use dvar_models::{
    ModelError,
    clip::{ClipTextConfig, ClipTextModel, ClipTextModelWithProjection, ClipTextTransformer},
    tokenizer::PromptTokenizer,
    weights::{self, ChangeWeight, ModelSource, change_weights},
};

use super::{TextEncoder, TextEncoderConfig, with_settings};
use crate::pipelines::PipelineError;

/// Parses and checks the `config.json` of an encoder whose last layer's hidden states are taken,
/// normalised (Stable Diffusion 1.x and 2.x); `file` is named in errors.
///
/// # Errors
///
/// [`ModelError`] says what does not fit.
pub fn config(json: &[u8], file: &str) -> Result<Arc<dyn TextEncoderConfig>, ModelError> {
    Config::parse(json, file, Taken::Last)
}

/// The same for an encoder whose hidden states are taken before its last layer (SDXL's first).
///
/// # Errors
///
/// [`ModelError`] says what does not fit.
pub fn penultimate(json: &[u8], file: &str) -> Result<Arc<dyn TextEncoderConfig>, ModelError> {
    Config::parse(json, file, Taken::Penultimate)
}

/// The same for one that also gives the projected state at a text's end (SDXL's second).
///
/// # Errors
///
/// [`ModelError`] says what does not fit.
pub fn projected(json: &[u8], file: &str) -> Result<Arc<dyn TextEncoderConfig>, ModelError> {
    Config::parse(json, file, Taken::PenultimateAndPooled)
}

/// Reads its tokenizer in `folder`.
///
/// # Errors
///
/// [`PipelineError`] if a file is missing or broken.
pub fn tokenizer(source: &dyn ModelSource, folder: &str) -> Result<PromptTokenizer, PipelineError> {
    let path = |name: &str| format!("{folder}/{name}");
    let (vocab, merges) = (path("vocab.json"), path("merges.txt"));
    with_settings(source, folder, |config, special| {
        Ok(match source.read_optional(&path("tokenizer.json"))? {
            Some(json) if !(source.has(&vocab) && source.has(&merges)) => {
                PromptTokenizer::clip_from_json(&json, config, special)?
            }
            _ => {
                let (vocab, merges) = (source.read(&vocab)?, source.read(&merges)?);
                PromptTokenizer::clip(&vocab, &merges, config, special)?
            }
        })
    })
}

/// What is taken of the tower.
#[derive(Clone, Copy, Debug)]
enum Taken {
    Last,
    Penultimate,
    PenultimateAndPooled,
}

#[derive(Debug)]
struct Config {
    sizes: ClipTextConfig,
    taken: Taken,
}

impl Config {
    fn parse(
        json: &[u8],
        file: &str,
        taken: Taken,
    ) -> Result<Arc<dyn TextEncoderConfig>, ModelError> {
        Ok(Arc::new(Self { sizes: ClipTextConfig::parse(json, file)?, taken }))
    }
}

impl TextEncoderConfig for Config {
    fn width(&self) -> usize {
        self.sizes.hidden_size
    }

    fn vocab_size(&self) -> usize {
        self.sizes.vocab_size
    }

    fn positions(&self) -> usize {
        self.sizes.max_position_embeddings
    }

    fn pooled_width(&self) -> Option<usize> {
        matches!(self.taken, Taken::PenultimateAndPooled).then_some(self.sizes.projection_dim)
    }

    fn load(
        &self,
        source: &dyn ModelSource,
        folder: &str,
        precision: DType,
        device: &Device,
    ) -> Result<Box<dyn TextEncoder>, ModelError> {
        let tower = || weights::load(self.sizes.init(device), source, folder, precision);
        Ok(Box::new(match self.taken {
            Taken::Last => Encoder::Last(tower()?),
            Taken::Penultimate => Encoder::Penultimate(tower()?),
            Taken::PenultimateAndPooled => {
                let model = self.sizes.init_with_projection(device);
                Encoder::Projected(weights::load(model, source, folder, precision)?)
            }
        }))
    }
}

#[derive(Debug)]
enum Encoder {
    Last(ClipTextModel),
    Penultimate(ClipTextModel),
    Projected(ClipTextModelWithProjection),
}

impl Encoder {
    fn tower(&self) -> &ClipTextTransformer {
        match self {
            Self::Last(model) | Self::Penultimate(model) => &model.text_model,
            Self::Projected(model) => &model.text_model,
        }
    }
}

impl TextEncoder for Encoder {
    fn token_embeddings(&self, input_ids: Tensor<2, Int>) -> Tensor<3> {
        self.tower().token_embeddings(input_ids)
    }

    fn token_table(&self) -> Tensor<2> {
        self.tower().token_table()
    }

    fn forward(
        &self,
        token_embeddings: Tensor<3>,
        ends: &[usize],
    ) -> (Tensor<3>, Option<Tensor<2>>) {
        match self {
            Self::Last(model) => (model.text_model.forward(token_embeddings), None),
            Self::Penultimate(model) => (model.text_model.penultimate(token_embeddings), None),
            Self::Projected(model) => {
                let (states, pooled) = model.forward(token_embeddings, ends);
                (states, Some(pooled))
            }
        }
    }

    fn hidden_states(&self, token_embeddings: Tensor<3>) -> Vec<Tensor<3>> {
        self.tower().hidden_states(token_embeddings)
    }

    fn with_changed_weights(
        self: Box<Self>,
        change: &mut ChangeWeight<'_>,
    ) -> Box<dyn TextEncoder> {
        Box::new(match *self {
            Self::Last(model) => Self::Last(change_weights(model, change)),
            Self::Penultimate(model) => Self::Penultimate(change_weights(model, change)),
            Self::Projected(model) => Self::Projected(change_weights(model, change)),
        })
    }
}
