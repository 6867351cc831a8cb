//! Either family's text encoder.

use burn::tensor::{DType, Device, Int, Tensor};
use dvar_models::{
    ModelError,
    clip::{ClipTextConfig, ClipTextTransformer},
    ldm_bert::{LdmBertConfig, LdmBertModel},
    weights::{self, ModelFiles},
};

use super::ModelFamily;

/// The checked sizes of a [`TextEncoder`].
#[derive(Clone, Debug)]
pub(super) enum TextEncoderConfig {
    Clip(ClipTextConfig),
    LdmBert(LdmBertConfig),
}

impl TextEncoderConfig {
    /// Reads `{folder}/config.json`.
    pub(super) fn read(
        family: ModelFamily,
        files: &ModelFiles,
        folder: &str,
    ) -> Result<Self, ModelError> {
        let file = format!("{folder}/config.json");
        let (json, shown) = (files.read(&file)?, files.display(&file));
        Ok(match family {
            ModelFamily::StableDiffusion => Self::Clip(ClipTextConfig::parse(&json, &shown)?),
            ModelFamily::LatentDiffusion => Self::LdmBert(LdmBertConfig::parse(&json, &shown)?),
        })
    }

    /// Width of the hidden states and of a learned vector.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Clip(config) => config.hidden_size,
            Self::LdmBert(config) => config.d_model,
        }
    }

    pub(super) fn vocab_size(&self) -> usize {
        match self {
            Self::Clip(config) => config.vocab_size,
            Self::LdmBert(config) => config.vocab_size,
        }
    }

    /// The longest prompt in tokens.
    pub(super) fn positions(&self) -> usize {
        match self {
            Self::Clip(config) => config.max_position_embeddings,
            Self::LdmBert(config) => config.max_position_embeddings,
        }
    }

    /// Loads the weights in `folder` as `precision`.
    pub(super) fn load(
        &self,
        files: &ModelFiles,
        folder: &str,
        precision: DType,
        device: &Device,
    ) -> Result<TextEncoder, ModelError> {
        Ok(match self {
            Self::Clip(config) => {
                let model = weights::load(config.init(device), files, folder, precision)?;
                TextEncoder::Clip(model.text_model)
            }
            Self::LdmBert(config) => {
                let model = config.init(device);
                TextEncoder::LdmBert(weights::load(model, files, folder, precision)?)
            }
        })
    }
}

/// Stable Diffusion's or LDM's text encoder; frozen.
#[derive(Debug)]
pub enum TextEncoder {
    /// Stable Diffusion's.
    Clip(ClipTextTransformer),
    /// LDM's.
    LdmBert(LdmBertModel),
}

impl TextEncoder {
    /// Whose text encoder this is.
    pub(super) fn family(&self) -> ModelFamily {
        match self {
            Self::Clip(_) => ModelFamily::StableDiffusion,
            Self::LdmBert(_) => ModelFamily::LatentDiffusion,
        }
    }

    /// `[batch_size, length]` to `[batch_size, length, width]`.
    pub(super) fn token_embeddings(&self, input_ids: Tensor<2, Int>) -> Tensor<3> {
        match self {
            Self::Clip(model) => model.token_embeddings(input_ids),
            Self::LdmBert(model) => model.token_embeddings(input_ids),
        }
    }

    /// `[vocab_size, width]`
    pub(super) fn token_table(&self) -> Tensor<2> {
        match self {
            Self::Clip(model) => model.token_table(),
            Self::LdmBert(model) => model.token_table(),
        }
    }

    /// Token embeddings to hidden states, both `[batch_size, length, width]`.
    pub(super) fn forward(&self, token_embeddings: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Clip(model) => model.forward(token_embeddings),
            Self::LdmBert(model) => model.forward(token_embeddings),
        }
    }

    /// What goes into the first layer and what comes out of each.
    pub(super) fn hidden_states(&self, token_embeddings: Tensor<3>) -> Vec<Tensor<3>> {
        match self {
            Self::Clip(model) => model.hidden_states(token_embeddings),
            Self::LdmBert(model) => model.hidden_states(token_embeddings),
        }
    }
}
