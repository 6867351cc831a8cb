//! What a scorer sees in pictures or texts, kept for as many comparisons as are wanted.

use burn::tensor::{Int, Tensor, TensorData};
use dvar_models::product::matmul;

use crate::{pipelines::PipelineError, tensor::DeviceError};

/// One vector of length 1 for each picture or text; two sets of one scorer can be compared.
#[derive(Clone, Debug)]
pub struct Features {
    /// `[count, width]`
    unit: Tensor<2>,
}

impl Features {
    /// `rows` are `[count, width]` of any length.
    pub(super) fn new(rows: Tensor<2>) -> Self {
        let length = rows.clone().square().sum_dim(1).sqrt().clamp_min(1e-8);
        Self { unit: rows / length }
    }

    /// The vectors, each of length 1: `[count, width]`.
    pub fn unit(&self) -> Tensor<2> {
        self.unit.clone()
    }

    /// Those at these places, each as often as it stands here.
    #[must_use]
    pub fn select(&self, places: &[usize]) -> Self {
        let rows: Vec<i32> = places.iter().map(|place| *place as i32).collect();
        let rows = TensorData::new(rows, [places.len()]);
        let rows = Tensor::<1, Int>::from_data(rows, &self.unit.device());
        Self { unit: self.unit().select(0, rows) }
    }

    /// Pictures or texts.
    pub fn count(&self) -> usize {
        self.unit.dims()[0]
    }

    /// The mean cosine similarity over all pairs of one from here and one from `other`; NaN if
    /// either set is empty.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Device`] if the result cannot be read.
    pub async fn mean_similarity(&self, other: &Self) -> Result<f64, PipelineError> {
        let similarities = read(matmul(self.unit(), other.unit().transpose())).await?;
        Ok(similarities.iter().sum::<f64>() / similarities.len() as f64)
    }

    /// The cosine similarities of the first with the first, the second with the second, and so
    /// on, as many as the smaller set holds. The official code scores pictures against references
    /// so; it depends on their order.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Device`] if the result cannot be read.
    pub async fn paired_similarities(&self, other: &Self) -> Result<Vec<f64>, PipelineError> {
        let count = self.count().min(other.count());
        let first = |features: &Self| features.unit().narrow(0, 0, count);
        read((first(self) * first(other)).sum_dim(1)).await
    }
}

pub(super) async fn read<const D: usize>(values: Tensor<D>) -> Result<Vec<f64>, PipelineError> {
    let data = values.into_data_async().await;
    let data = data.map_err(DeviceError::new)?;
    Ok(data.iter::<f64>().collect())
}
