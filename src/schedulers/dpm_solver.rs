//! DPM-Solver++ 2M, <https://arxiv.org/abs/2211.01095>, algorithm 2 with the midpoint correction.
//!
//! The last step goes to sigma 0, where the correction has no meaning: it is of first order
//! whatever the configuration's `lower_order_final` says, as in diffusers.

use burn::tensor::Tensor;

use super::{
    NoiseSchedule, PredictionType, Scheduler,
    sigmas::{alpha_prod, with_final_zero},
};

#[derive(Debug)]
pub(super) struct DpmSolverScheduler {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    prediction_type: PredictionType,
    /// The clean sample predicted at the call before.
    previous_original: Option<Tensor<4>>,
}

impl DpmSolverScheduler {
    pub(super) fn new(schedule: &NoiseSchedule, timesteps: Vec<f64>) -> Self {
        let sigmas = with_final_zero(schedule, &timesteps);
        let prediction_type = schedule.prediction_type();
        Self { timesteps, sigmas, prediction_type, previous_original: None }
    }
}

impl Scheduler for DpmSolverScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn step(
        &mut self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
        _variance_noise: Option<Tensor<4>>,
    ) -> Tensor<4> {
        if index == 0 {
            self.previous_original = None;
        }
        let (sigma, next_sigma) = (self.sigmas[index], self.sigmas[index + 1]);
        let original =
            self.prediction_type.original_sample(sample.clone(), model_output, alpha_prod(sigma));
        let previous_original = self.previous_original.replace(original.clone());
        let estimate = match previous_original {
            Some(previous) if next_sigma > 0.0 => {
                // Half-log-SNR is minus the logarithm of sigma.
                let step = (sigma / next_sigma).ln();
                let step_before = (self.sigmas[index - 1] / sigma).ln();
                original.clone() + (original - previous) * (0.5 * step / step_before)
            }
            _ => original,
        };
        let (alpha, next_alpha) = (alpha_prod(sigma).sqrt(), alpha_prod(next_sigma).sqrt());
        let shrink = next_sigma / sigma;
        sample * (shrink * next_alpha / alpha) + estimate * (next_alpha * (1.0 - shrink))
    }
}
