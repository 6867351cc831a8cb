use burn::tensor::Tensor;

use super::{NoiseSchedule, Scheduler, add_variance};

/// Denoising diffusion implicit models, <https://arxiv.org/abs/2010.02502>.
#[derive(Debug)]
pub(super) struct DdimScheduler {
    pub schedule: NoiseSchedule,
    pub timesteps: Vec<f64>,
    /// Training timesteps per step.
    pub stride: usize,
    /// The cumulative product of alphas before timestep 0.
    pub final_alpha_prod: f64,
    /// The predicted clean sample is clamped to plus and minus this.
    pub clip_range: Option<f64>,
    /// The share of DDPM's noise that is added back, 0 to 1.
    pub eta: f64,
}

impl DdimScheduler {
    /// The cumulative product of alphas before and after the step at `index`.
    fn alpha_prods(&self, index: usize) -> (f64, f64) {
        let timestep = self.timesteps[index] as usize;
        let previous = timestep.checked_sub(self.stride);
        let alpha_prod_previous =
            previous.map_or(self.final_alpha_prod, |timestep| self.schedule.alpha_prod(timestep));
        (self.schedule.alpha_prod(timestep), alpha_prod_previous)
    }

    /// Formula 16.
    fn standard_deviation(&self, index: usize) -> f64 {
        let (alpha_prod, previous) = self.alpha_prods(index);
        let variance = (1.0 - previous) / (1.0 - alpha_prod) * (1.0 - alpha_prod / previous);
        self.eta * variance.sqrt()
    }
}

impl Scheduler for DdimScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn needs_variance_noise(&self, index: usize) -> bool {
        self.standard_deviation(index) > 0.0
    }

    /// Formula 12.
    fn step(
        &mut self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
        variance_noise: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let (alpha_prod, previous) = self.alpha_prods(index);
        let prediction = self.schedule.prediction_type();
        let original = prediction.original_sample(sample.clone(), model_output.clone(), alpha_prod);
        let original = match self.clip_range {
            Some(range) => original.clamp(-range, range),
            None => original,
        };
        let epsilon = prediction.epsilon(sample, model_output, alpha_prod);
        let deviation = self.standard_deviation(index);
        // With eta 1 and nothing left to denoise, rounding may make this negative.
        let direction = (1.0 - previous - deviation * deviation).max(0.0).sqrt();
        add_variance(original * previous.sqrt() + epsilon * direction, deviation, variance_noise)
    }
}
