//! What a denoiser predicts, and what its output says of the clean latents and of the noise.

use std::{fmt, str::FromStr};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::error::SchedulerError;

/// What the model predicts, and so what its loss compares it with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise in the latents.
    #[default]
    Epsilon,
    /// The velocity `sqrt(a) * noise - sqrt(1 - a) * latents`, with `a` the cumulative product of
    /// alphas (<https://arxiv.org/abs/2202.00512>, appendix D).
    VPrediction,
}

impl PredictionType {
    const ALL: [Self; 2] = [Self::Epsilon, Self::VPrediction];

    /// The name in files: `epsilon` or `v_prediction`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::VPrediction => "v_prediction",
        }
    }

    /// The clean latents that the model's output stands for.
    ///
    /// # Shapes
    /// - sample, model_output, output: `[batch_size, channels, height, width]`
    /// - alpha_prod: the cumulative product of alphas at the sample's timestep, in (0, 1)
    pub fn original_sample(
        self,
        sample: Tensor<4>,
        model_output: Tensor<4>,
        alpha_prod: f64,
    ) -> Tensor<4> {
        let (signal, noise) = (alpha_prod.sqrt(), (1.0 - alpha_prod).sqrt());
        match self {
            Self::Epsilon => (sample - model_output * noise) / signal,
            Self::VPrediction => sample * signal - model_output * noise,
        }
    }

    /// The noise that the model's output stands for.
    ///
    /// # Shapes
    /// As [`original_sample`](Self::original_sample).
    pub fn epsilon(self, sample: Tensor<4>, model_output: Tensor<4>, alpha_prod: f64) -> Tensor<4> {
        match self {
            Self::Epsilon => model_output,
            Self::VPrediction => {
                model_output * alpha_prod.sqrt() + sample * (1.0 - alpha_prod).sqrt()
            }
        }
    }
}

impl fmt::Display for PredictionType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for PredictionType {
    type Err = SchedulerError;

    fn from_str(name: &str) -> Result<Self, SchedulerError> {
        let found = Self::ALL.into_iter().find(|prediction| prediction.name() == name);
        found.ok_or_else(|| SchedulerError::UnknownPredictionType { name: name.into() })
    }
}
