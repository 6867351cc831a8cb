//! What Textual Inversion trains: a few rows of the token table.

use burn::tensor::{Device, Tensor, TensorData};

use super::TrainError;
use crate::embedding::LearnedEmbedding;

/// The learned vectors, tracked by autodiff, and where they began.
#[derive(Clone, Debug)]
pub struct Concept {
    /// Stands for the concept in prompts.
    pub placeholder_token: String,
    /// `[num_vectors, width]`, tracked.
    vectors: Tensor<2>,
    /// The same shape, plain.
    initial: Tensor<2>,
}

impl Concept {
    /// Starts at `initial`, on the autodiff side of `device`.
    pub fn new(initial: &LearnedEmbedding, device: &Device) -> Self {
        let data =
            TensorData::new(initial.vectors().to_vec(), [initial.num_vectors(), initial.dim()]);
        let initial_vectors = Tensor::from_data(data, device);
        Self {
            placeholder_token: initial.placeholder_token().to_string(),
            vectors: track(initial_vectors.clone()),
            initial: initial_vectors,
        }
    }

    /// The vectors with their graph, for training: `[num_vectors, width]`.
    pub fn tracked(&self) -> &Tensor<2> {
        &self.vectors
    }

    /// The vectors without a graph, for evaluation and sampling: `[num_vectors, width]`.
    pub fn vectors(&self) -> Tensor<2> {
        self.vectors.clone().inner()
    }

    /// Replaces the vectors by plain ones.
    pub(crate) fn set(&mut self, vectors: Tensor<2>) {
        self.vectors = track(vectors);
    }

    /// Euclidean distance from the initial vectors, `[1]`.
    pub(super) fn distance(&self) -> Tensor<1> {
        (self.vectors() - self.initial.clone()).square().sum().sqrt()
    }

    /// The vectors as they would be saved.
    pub async fn read(&self) -> Result<LearnedEmbedding, TrainError> {
        let [num_vectors, dim] = self.vectors.dims();
        let data = read(self.vectors()).await?;
        LearnedEmbedding::new(self.placeholder_token.clone(), data, num_vectors, dim)
            .map_err(|error| TrainError::Device(error.to_string()))
    }
}

fn track(vectors: Tensor<2>) -> Tensor<2> {
    vectors.autodiff().require_grad()
}

/// Reads a tensor's values without blocking.
pub(super) async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, TrainError> {
    let data = tensor.into_data_async().await.map_err(|e| TrainError::Device(e.to_string()))?;
    Ok(data.iter::<f32>().collect())
}
