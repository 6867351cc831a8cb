//! Where the vectors start.

use burn::tensor::Tensor;

use super::{EmbeddingError, EncoderVectors, LearnedEmbedding};
use crate::{
    pipelines::{EmbeddingWidths, PromptIds},
    tensor::read,
};

/// The tokens' rows of the frozen token tables, in turn, until there are `num_vectors` for each
/// text encoder, of these `widths`.
///
/// # Shapes
///
/// - token_tables: `[vocab_size, width]` for each text encoder
///
/// # Errors
///
/// [`EmbeddingError`] if there is no token, or a row holds a value that is no number.
pub async fn from_tokens(
    placeholder_token: &str,
    token_tables: &[Tensor<2>],
    widths: EmbeddingWidths,
    token_ids: &PromptIds,
    num_vectors: usize,
) -> Result<LearnedEmbedding, EmbeddingError> {
    let mut encoders = Vec::new();
    for ((table, ids), (key, dim)) in token_tables.iter().zip(&token_ids.0).zip(widths.0) {
        let mut rows = Vec::new();
        for id in ids {
            rows.push(read(table.clone().narrow(0, *id as usize, 1)).await?);
        }
        let values = rows.iter().cycle().take(num_vectors).flatten().copied().collect();
        encoders.push(EncoderVectors { key, values, dim });
    }
    LearnedEmbedding::for_encoders(placeholder_token, encoders, num_vectors)
}

/// Given vectors under another token, in turn, until there are `num_vectors` for each text encoder, of
/// these `widths`.
///
/// # Errors
///
/// [`EmbeddingError::Token`] if the token cannot be saved.
pub fn from_vectors(
    placeholder_token: &str,
    vectors: &LearnedEmbedding,
    widths: EmbeddingWidths,
    num_vectors: usize,
) -> Result<LearnedEmbedding, EmbeddingError> {
    let encoders = vectors.encoders().iter().zip(widths.0).map(|(encoder, (key, dim))| {
        let values = encoder.values.iter().cycle().take(num_vectors * dim).copied();
        EncoderVectors { key, values: values.collect(), dim }
    });
    LearnedEmbedding::for_encoders(placeholder_token, encoders.collect(), num_vectors)
}
