//! Denoising diffusion implicit models, <https://arxiv.org/abs/2010.02502>.

use burn::tensor::Tensor;

use crate::schedulers::{
    error::SchedulerError,
    keys::ZERO_SNR,
    noise_schedule::NoiseSchedule,
    run::SamplingRun,
    scheduler::{Scheduler, add_variance, clipped},
    spec::{Key, SchedulerSpec},
    timesteps::TimestepSpacing,
};

pub(super) static SPEC: SchedulerSpec = SchedulerSpec {
    name: "ddim",
    class_name: "DDIMScheduler",
    timestep_spacing: TimestepSpacing::Leading,
    keys: &[
        Key::Flag("set_alpha_to_one"),
        Key::Flag(ZERO_SNR),
        Key::Flag("clip_sample"),
        Key::Positive("clip_sample_range"),
        Key::Only("thresholding", "false"),
    ],
    build: |run| Ok(Box::new(DdimScheduler::new(run)?)),
};

#[derive(Debug)]
struct DdimScheduler {
    schedule: NoiseSchedule,
    timesteps: Vec<f64>,
    /// Training timesteps per step.
    stride: usize,
    /// The cumulative product of alphas before timestep 0.
    final_alpha_prod: f64,
    /// The predicted clean sample is clamped to plus and minus this.
    clip_range: Option<f64>,
    /// The share of DDPM's noise that is added back, 0 to 1.
    eta: f64,
}

impl DdimScheduler {
    fn new(run: &SamplingRun) -> Result<Self, SchedulerError> {
        Ok(Self {
            schedule: run.noise_schedule().clone(),
            timesteps: run.timesteps()?,
            stride: run.stride(),
            final_alpha_prod: run.final_alpha_prod(true),
            clip_range: run.clip_range(),
            eta: run.eta(),
        })
    }

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
        let original = clipped(original, self.clip_range);
        let epsilon = prediction.epsilon(sample, model_output, alpha_prod);
        let deviation = self.standard_deviation(index);
        // With eta 1 and nothing left to denoise, rounding may make this negative.
        let direction = (1.0 - previous - deviation * deviation).max(0.0).sqrt();
        add_variance(original * previous.sqrt() + epsilon * direction, deviation, variance_noise)
    }
}
