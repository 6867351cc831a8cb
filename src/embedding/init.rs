//! Where the vectors start.

use burn::tensor::Tensor;

use super::{EmbeddingError, LearnedEmbedding};

/// The initializer token's row of the frozen token table, once for each vector.
///
/// # Shapes
///
/// - token_table: `[vocab_size, width]`
///
/// # Errors
///
/// [`EmbeddingError`] if the row holds a value that is no number.
pub async fn from_token(
    placeholder_token: &str,
    token_table: Tensor<2>,
    token_id: u32,
    num_vectors: usize,
) -> Result<LearnedEmbedding, EmbeddingError> {
    let [_, dim] = token_table.dims();
    let row = token_table.narrow(0, token_id as usize, 1);
    let row = row.into_data_async().await.map_err(|e| EmbeddingError::Device(e.to_string()))?;
    let row: Vec<f32> = row.iter::<f32>().collect();
    LearnedEmbedding::new(placeholder_token, row.repeat(num_vectors), num_vectors, dim)
}
