//! Text encoders: what all have in common, and a file for each kind.

pub mod clip;
pub mod ldm_bert;

use std::fmt::Debug;

use burn::tensor::{DType, Device, Int, Tensor};
use dvar_models::{
    ModelError,
    tokenizer::PromptTokenizer,
    weights::{ChangeWeight, ModelSource},
};

use super::PipelineError;

/// The checked sizes of a [`TextEncoder`].
pub trait TextEncoderConfig: Debug + Send + Sync {
    /// Width of the hidden states and of a learned vector.
    fn width(&self) -> usize;

    /// Rows of the token table.
    fn vocab_size(&self) -> usize;

    /// The longest prompt in tokens.
    fn positions(&self) -> usize;

    /// Width of the pooled state that the encoder gives of a text; none if it gives none.
    fn pooled_width(&self) -> Option<usize> {
        None
    }

    /// Loads the weights in `folder` as `precision`.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a file is missing or broken.
    fn load(
        &self,
        source: &dyn ModelSource,
        folder: &str,
        precision: DType,
        device: &Device,
    ) -> Result<Box<dyn TextEncoder>, ModelError>;
}

/// A text encoder; frozen.
pub trait TextEncoder: Debug + Send + Sync {
    /// Rows of the token table: `[batch_size, length]` to `[batch_size, length, width]`.
    fn token_embeddings(&self, input_ids: Tensor<2, Int>) -> Tensor<3>;

    /// `[vocab_size, width]`
    fn token_table(&self) -> Tensor<2>;

    /// Token embeddings to hidden states, both `[batch_size, length, width]`, and to the pooled state
    /// at each text's end, `[batch_size, pooled_width]`, where the encoder gives one. `ends` are the
    /// places of the end-of-text tokens.
    fn forward(
        &self,
        token_embeddings: Tensor<3>,
        ends: &[usize],
    ) -> (Tensor<3>, Option<Tensor<2>>);

    /// What goes into the first layer and what comes out of each.
    fn hidden_states(&self, token_embeddings: Tensor<3>) -> Vec<Tensor<3>>;

    /// The same encoder with other weights where `change` gives some, as a LoRA does; see
    /// [`change_weights`](dvar_models::weights::change_weights).
    fn with_changed_weights(self: Box<Self>, change: &mut ChangeWeight<'_>)
    -> Box<dyn TextEncoder>;
}

/// A tokenizer with what is saved beside it in `folder`: `open` is given `tokenizer_config.json` and
/// `special_tokens_map.json`, where they are there. Older versions of transformers write what was added to it
/// to a file of its own.
fn with_settings(
    source: &dyn ModelSource,
    folder: &str,
    open: impl FnOnce(Option<&[u8]>, Option<&[u8]>) -> Result<PromptTokenizer, PipelineError>,
) -> Result<PromptTokenizer, PipelineError> {
    let read = |name: &str| source.read_optional(&format!("{folder}/{name}"));
    let (config, special) = (read("tokenizer_config.json")?, read("special_tokens_map.json")?);
    let tokenizer = open(config.as_deref(), special.as_deref())?;
    Ok(match read("added_tokens.json")? {
        Some(added) => tokenizer.with_added_tokens(&added)?,
        None => tokenizer,
    })
}
