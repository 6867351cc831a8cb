//! LDM's own text encoder, which reads BERT's tokens.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor};
use dvar_models::{
    ModelError,
    ldm_bert::{LdmBertConfig, LdmBertModel},
    tokenizer::PromptTokenizer,
    weights::{self, ChangeWeight, ModelSource, change_weights},
};

use super::{TextEncoder, TextEncoderConfig, with_settings};
use crate::pipelines::PipelineError;

/// Parses and checks its `config.json`; `file` is named in errors.
///
/// # Errors
///
/// [`ModelError`] says what does not fit.
pub fn config(json: &[u8], file: &str) -> Result<Arc<dyn TextEncoderConfig>, ModelError> {
    Ok(Arc::new(LdmBertConfig::parse(json, file)?))
}

/// Reads its tokenizer in `folder`.
///
/// # Errors
///
/// [`PipelineError`] if a file is missing or broken.
pub fn tokenizer(source: &dyn ModelSource, folder: &str) -> Result<PromptTokenizer, PipelineError> {
    let (vocab, json) = (format!("{folder}/vocab.txt"), format!("{folder}/tokenizer.json"));
    with_settings(source, folder, |config, special| {
        Ok(match source.read_optional(&json)? {
            Some(json) if !source.has(&vocab) => {
                PromptTokenizer::bert_from_json(&json, config, special)?
            }
            _ => PromptTokenizer::bert(&source.read(&vocab)?, config, special)?,
        })
    })
}

impl TextEncoderConfig for LdmBertConfig {
    fn width(&self) -> usize {
        self.d_model
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
        Ok(Box::new(model))
    }
}

impl TextEncoder for LdmBertModel {
    fn token_embeddings(&self, input_ids: Tensor<2, Int>) -> Tensor<3> {
        self.token_embeddings(input_ids)
    }

    fn token_table(&self) -> Tensor<2> {
        self.token_table()
    }

    fn forward(&self, token_embeddings: Tensor<3>, _: &[usize]) -> (Tensor<3>, Option<Tensor<2>>) {
        (self.forward(token_embeddings), None)
    }

    fn hidden_states(&self, token_embeddings: Tensor<3>) -> Vec<Tensor<3>> {
        self.hidden_states(token_embeddings)
    }

    fn with_changed_weights(
        self: Box<Self>,
        change: &mut ChangeWeight<'_>,
    ) -> Box<dyn TextEncoder> {
        Box::new(change_weights(*self, change))
    }
}
