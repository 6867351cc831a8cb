//! Text encoders: what all have in common, and a file for each kind.

pub mod clip;
pub mod ldm_bert;

use std::fmt::Debug;

use burn::tensor::{DType, Device, Int, Tensor};
use dvar_models::{ModelError, weights::ModelSource};

/// The checked sizes of a [`TextEncoder`].
pub trait TextEncoderConfig: Debug + Send + Sync {
    /// Width of the hidden states and of a learned vector.
    fn width(&self) -> usize;

    /// Rows of the token table.
    fn vocab_size(&self) -> usize;

    /// The longest prompt in tokens.
    fn positions(&self) -> usize;

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

    /// Token embeddings to hidden states, both `[batch_size, length, width]`.
    fn forward(&self, token_embeddings: Tensor<3>) -> Tensor<3>;

    /// What goes into the first layer and what comes out of each.
    fn hidden_states(&self, token_embeddings: Tensor<3>) -> Vec<Tensor<3>>;
}
