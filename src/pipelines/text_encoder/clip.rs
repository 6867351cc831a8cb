//! CLIP's text tower.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor};
use dvar_models::{
    ModelError,
    clip::{ClipTextConfig, ClipTextTransformer},
    tokenizer::PromptTokenizer,
    weights::{self, ModelSource},
};

use super::{TextEncoder, TextEncoderConfig};
use crate::pipelines::PipelineError;

/// Parses and checks its `config.json`; `file` is named in errors.
///
/// # Errors
///
/// [`ModelError`] says what does not fit.
pub fn config(json: &[u8], file: &str) -> Result<Arc<dyn TextEncoderConfig>, ModelError> {
    Ok(Arc::new(ClipTextConfig::parse(json, file)?))
}

/// Reads its tokenizer in `folder`.
///
/// # Errors
///
/// [`PipelineError`] if a file is missing or broken.
pub fn tokenizer(source: &dyn ModelSource, folder: &str) -> Result<PromptTokenizer, PipelineError> {
    let path = |name: &str| format!("{folder}/{name}");
    let config = source.read_optional(&path("tokenizer_config.json"))?;
    let special = source.read_optional(&path("special_tokens_map.json"))?;
    let (config, special) = (config.as_deref(), special.as_deref());
    let (vocab, merges) = (source.read(&path("vocab.json"))?, source.read(&path("merges.txt"))?);
    Ok(PromptTokenizer::clip(&vocab, &merges, config, special)?)
}

impl TextEncoderConfig for ClipTextConfig {
    fn width(&self) -> usize {
        self.hidden_size
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn positions(&self) -> usize {
        self.max_position_embeddings
    }

    fn load(
        &self,
        source: &dyn ModelSource,
        folder: &str,
        precision: DType,
        device: &Device,
    ) -> Result<Box<dyn TextEncoder>, ModelError> {
        let model = weights::load(self.init(device), source, folder, precision)?;
        Ok(Box::new(model.text_model))
    }
}

impl TextEncoder for ClipTextTransformer {
    fn token_embeddings(&self, input_ids: Tensor<2, Int>) -> Tensor<3> {
        self.token_embeddings(input_ids)
    }

    fn token_table(&self) -> Tensor<2> {
        self.token_table()
    }

    fn forward(&self, token_embeddings: Tensor<3>) -> Tensor<3> {
        self.forward(token_embeddings)
    }

    fn hidden_states(&self, token_embeddings: Tensor<3>) -> Vec<Tensor<3>> {
        self.hidden_states(token_embeddings)
    }
}
