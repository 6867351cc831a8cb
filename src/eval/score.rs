//! A score: a mean over pairs of pictures or of pictures and words.

use super::Features;
use crate::pipelines::PipelineError;

/// A mean over pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    sum: f64,
    pairs: usize,
}

impl Score {
    /// The mean; NaN over no pairs.
    pub fn mean(&self) -> f64 {
        self.sum / self.pairs as f64
    }

    /// Pairs that the mean is taken over.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// With `pairs` more, whose values add up to `sum`.
    pub(super) fn and(self, sum: f64, pairs: usize) -> Self {
        Self { sum: self.sum + sum, pairs: self.pairs + pairs }
    }

    /// Over the pairs of both.
    pub(super) fn and_all(self, other: Self) -> Self {
        self.and(other.sum, other.pairs)
    }

    /// The mean similarity of each of `one` with each of `other`.
    pub(super) async fn of(one: &Features, other: &Features) -> Result<Self, PipelineError> {
        let pairs = one.count() * other.count();
        Ok(Self::default().and(one.mean_similarity(other).await? * pairs as f64, pairs))
    }
}
