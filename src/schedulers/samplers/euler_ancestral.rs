//! Ancestral sampling (<https://arxiv.org/abs/2011.13456>, appendix F), known as Euler a: Euler's step goes
//! below the next sigma, and fresh noise leads back up to it.

use burn::tensor::Tensor;

use super::sigmas::SigmaRun;
use crate::schedulers::{
    keys::ZERO_SNR,
    scheduler::{Scheduler, add_variance},
    spec::{Key, SchedulerSpec},
    timesteps::TimestepSpacing,
};

pub(super) static SPEC: SchedulerSpec = SchedulerSpec {
    name: "euler-a",
    class_name: "EulerAncestralDiscreteScheduler",
    timestep_spacing: TimestepSpacing::Linspace,
    keys: &[Key::Flag(ZERO_SNR)],
    // without Karras' sigmas: diffusers has none for it, and does not read their key
    build: |run| Ok(Box::new(EulerAncestralScheduler { run: SigmaRun::new(run, false)? })),
};

#[derive(Debug)]
struct EulerAncestralScheduler {
    run: SigmaRun,
}

impl Scheduler for EulerAncestralScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.run.timesteps
    }

    fn init_noise_sigma(&self) -> f64 {
        self.run.init_noise_sigma
    }

    fn scale_model_input(&self, sample: Tensor<4>, index: usize) -> Tensor<4> {
        self.run.scale_model_input(sample, index)
    }

    fn needs_variance_noise(&self, index: usize) -> bool {
        self.run.sigmas[index + 1] > 0.0
    }

    fn step(
        &mut self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
        variance_noise: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let (sigma, next_sigma) = (self.run.sigmas[index], self.run.sigmas[index + 1]);
        let shrink = next_sigma / sigma;
        let derivative = self.run.derivative(model_output, index, sample.clone());
        let mean = sample + derivative * (next_sigma * shrink - sigma);
        add_variance(mean, next_sigma * (1.0 - shrink * shrink).sqrt(), variance_noise)
    }
}
