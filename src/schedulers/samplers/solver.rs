//! What the solvers share that take their steps in the logarithm of the signal-to-noise ratio.

use burn::tensor::Tensor;

use super::sigmas::{alpha_prod, with_sigmas};
use crate::schedulers::{
    error::SchedulerError, prediction::PredictionType, run::SamplingRun, timesteps::TimestepSpacing,
};

/// A run in the variables of training, in which noisy samples have about unit variance.
#[derive(Debug)]
pub(super) struct SolverRun {
    /// One per model call.
    pub timesteps: Vec<f64>,
    /// Noise over signal: one per timestep and a 0 at the end.
    pub sigmas: Vec<f64>,
    pub prediction_type: PredictionType,
}

impl SolverRun {
    pub(super) fn new(run: &SamplingRun) -> Result<Self, SchedulerError> {
        // One step more is spread, and the one at the clean end left out.
        let leaves_out_last = run.timestep_spacing() != TimestepSpacing::Trailing;
        let count = run.num_inference_steps() + usize::from(leaves_out_last);
        let timesteps = run.first_timesteps_of(count)?;
        let schedule = run.noise_schedule();
        let last = (schedule.alphas_cumprod().len() - 1) as f64;
        let (timesteps, sigmas) = with_sigmas(run, timesteps, Some([last, 0.0]));
        // the model is asked at whole ones, also where the sigmas lie between
        let timesteps = timesteps.into_iter().map(f64::round_ties_even).collect();
        Ok(Self { timesteps, sigmas, prediction_type: schedule.prediction_type() })
    }

    /// The clean sample that the model's output at call `index` stands for.
    pub(super) fn original(
        &self,
        sample: Tensor<4>,
        model_output: Tensor<4>,
        index: usize,
    ) -> Tensor<4> {
        self.prediction_type.original_sample(sample, model_output, alpha_prod(self.sigmas[index]))
    }

    /// How long the step of call `index` is in half the logarithm of the signal-to-noise ratio, which is
    /// minus the logarithm of sigma.
    pub(super) fn log_step(&self, index: usize) -> f64 {
        (self.sigmas[index] / self.sigmas[index + 1]).ln()
    }

    /// DPM-Solver++'s estimate of the clean sample over the step of call `index`: that of its middle, on the
    /// line through the last two. A step to sigma 0 has no middle.
    pub(super) fn midpoint(
        &self,
        original: Tensor<4>,
        previous: Option<Tensor<4>>,
        index: usize,
    ) -> Tensor<4> {
        match previous {
            Some(previous) if self.sigmas[index + 1] > 0.0 => {
                let (step, step_before) = (self.log_step(index), self.log_step(index - 1));
                original.clone() + (original - previous) * (0.5 * step / step_before)
            }
            _ => original,
        }
    }

    /// Where the step of call `index` ends if the clean sample is `original` all along.
    pub(super) fn step_to(
        &self,
        sample: Tensor<4>,
        original: Tensor<4>,
        index: usize,
    ) -> Tensor<4> {
        let (sigma, next_sigma) = (self.sigmas[index], self.sigmas[index + 1]);
        let (alpha, next_alpha) = (alpha_prod(sigma).sqrt(), alpha_prod(next_sigma).sqrt());
        let shrink = next_sigma / sigma;
        sample * (shrink * next_alpha / alpha) + original * (next_alpha * (1.0 - shrink))
    }
}
