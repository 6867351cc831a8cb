//! What a denoiser predicts, and what its output says of the clean latents and of the noise.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

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
