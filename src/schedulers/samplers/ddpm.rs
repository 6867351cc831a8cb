//! Ancestral sampling with the smaller of the two fixed variances,
//! <https://arxiv.org/abs/2006.11239>.

use burn::tensor::Tensor;

use crate::schedulers::{
    keys::ZERO_SNR,
    noise_schedule::NoiseSchedule,
    scheduler::{Scheduler, add_variance, clipped},
    spec::{Key, SchedulerSpec},
    timesteps::TimestepSpacing,
};

pub(super) static SPEC: SchedulerSpec = SchedulerSpec {
    name: "ddpm",
    class_name: "DDPMScheduler",
    timestep_spacing: TimestepSpacing::Leading,
    keys: &[
        Key::Flag(ZERO_SNR),
        Key::Flag("clip_sample"),
        Key::Positive("clip_sample_range"),
        Key::Only("thresholding", "false"),
        Key::Only("variance_type", "fixed_small"),
    ],
    build: |run| {
        Ok(Box::new(DdpmScheduler {
            schedule: run.noise_schedule().clone(),
            timesteps: run.timesteps()?,
            clip_range: run.clip_range(),
        }))
    },
};

#[derive(Debug)]
struct DdpmScheduler {
    schedule: NoiseSchedule,
    timesteps: Vec<f64>,
    /// The predicted clean sample is clamped to plus and minus this.
    clip_range: Option<f64>,
}

impl DdpmScheduler {
    /// The cumulative product of alphas at a call; 1 after the last.
    fn alpha_prod(&self, index: usize) -> f64 {
        self.timesteps
            .get(index)
            .map_or(1.0, |timestep| self.schedule.alpha_prod(*timestep as usize))
    }
}

impl Scheduler for DdpmScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn needs_variance_noise(&self, index: usize) -> bool {
        index + 1 < self.timesteps.len()
    }

    /// Formulas 6, 7 and 15.
    fn step(
        &mut self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
        variance_noise: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let (alpha_prod, previous) = (self.alpha_prod(index), self.alpha_prod(index + 1));
        let alpha = alpha_prod / previous;
        let beta_prod = 1.0 - alpha_prod;
        let prediction = self.schedule.prediction_type();
        let original = prediction.original_sample(sample.clone(), model_output, alpha_prod);
        let original = clipped(original, self.clip_range);
        let mean = original * (previous.sqrt() * (1.0 - alpha) / beta_prod)
            + sample * (alpha.sqrt() * (1.0 - previous) / beta_prod);
        let variance = (1.0 - previous) / beta_prod * (1.0 - alpha);
        add_variance(mean, variance.sqrt(), variance_noise)
    }
}
