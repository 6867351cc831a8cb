//! Where the vectors start.

use crate::tensor::DeviceError;
use burn::tensor::Tensor;

use super::{EmbeddingError, LearnedEmbedding};

/// The tokens' rows of the frozen token table, in turn, until there are `num_vectors`.
///
/// # Shapes
///
/// - token_table: `[vocab_size, width]`
///
/// # Errors
///
/// [`EmbeddingError`] if there is no token, or a row holds a value that is no number.
pub async fn from_tokens(
    placeholder_token: &str,
    token_table: Tensor<2>,
    token_ids: &[u32],
    num_vectors: usize,
) -> Result<LearnedEmbedding, EmbeddingError> {
    let [_, dim] = token_table.dims();
    let mut rows = Vec::new();
    for id in token_ids {
        let row = token_table.clone().narrow(0, *id as usize, 1);
        let row = row.into_data_async().await.map_err(DeviceError::new)?;
        rows.push(row.iter::<f32>().collect::<Vec<_>>());
    }
    let values = rows.iter().cycle().take(num_vectors).flatten().copied().collect();
    LearnedEmbedding::new(placeholder_token, values, num_vectors, dim)
}

/// Given vectors under another token, in turn, until there are `num_vectors`.
///
/// # Errors
///
/// [`EmbeddingError::Token`] if the token cannot be saved.
pub fn from_vectors(
    placeholder_token: &str,
    vectors: &LearnedEmbedding,
    num_vectors: usize,
) -> Result<LearnedEmbedding, EmbeddingError> {
    let values = vectors.vectors().iter().cycle().take(num_vectors * vectors.dim()).copied();
    LearnedEmbedding::new(placeholder_token, values.collect(), num_vectors, vectors.dim())
}
