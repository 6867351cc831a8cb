//! What the samplers share that walk over sigmas, the ratio of noise to signal.

use burn::tensor::Tensor;

use crate::schedulers::{
    error::SchedulerError, noise_schedule::NoiseSchedule, prediction::PredictionType,
    run::SamplingRun, timesteps::TimestepSpacing,
};

/// A run in the variables of <https://arxiv.org/abs/2206.00364>: samples are the clean ones plus
/// `sigma` times noise, so their scale grows with the noise.
#[derive(Debug)]
pub(super) struct SigmaRun {
    /// One per model call.
    pub timesteps: Vec<f64>,
    /// One per timestep and a 0 at the end.
    pub sigmas: Vec<f64>,
    pub init_noise_sigma: f64,
    prediction_type: PredictionType,
}

impl SigmaRun {
    pub(super) fn new(run: &SamplingRun) -> Result<Self, SchedulerError> {
        let schedule = run.noise_schedule();
        let timesteps = run.fractional_timesteps()?;
        let sigmas = with_final_zero(schedule, &timesteps);
        let largest = sigmas[0];
        // The other spacings visit the last timestep, where the samples are taken for pure noise.
        let starts_at_last_timestep = run.timestep_spacing() != TimestepSpacing::Leading;
        let init_noise_sigma =
            if starts_at_last_timestep { largest } else { (largest * largest + 1.0).sqrt() };
        let prediction_type = schedule.prediction_type();
        Ok(Self { timesteps, sigmas, init_noise_sigma, prediction_type })
    }

    pub(super) fn scale_model_input(&self, sample: Tensor<4>, index: usize) -> Tensor<4> {
        sample * alpha_prod(self.sigmas[index]).sqrt()
    }

    /// The slope of the sample over sigma: the noise that the model sees in it.
    pub(super) fn derivative(
        &self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
    ) -> Tensor<4> {
        let scaled = self.scale_model_input(sample, index);
        self.prediction_type.epsilon(scaled, model_output, alpha_prod(self.sigmas[index]))
    }
}

/// The sigmas of the timesteps, and the 0 that the last step goes to.
pub(super) fn with_final_zero(schedule: &NoiseSchedule, timesteps: &[f64]) -> Vec<f64> {
    timesteps.iter().map(|timestep| schedule.sigma(*timestep)).chain([0.0]).collect()
}

/// The cumulative product of alphas that belongs to a sigma.
pub(super) fn alpha_prod(sigma: f64) -> f64 {
    1.0 / (sigma * sigma + 1.0)
}
