//! Euler's method without churn (<https://arxiv.org/abs/2206.00364>, algorithm 2 with gamma 0).

use burn::tensor::Tensor;

use super::sigmas::{KARRAS, KARRAS_ENDS, SigmaRun};
use crate::schedulers::{
    keys::ZERO_SNR,
    scheduler::Scheduler,
    spec::{Key, SchedulerSpec},
    timesteps::TimestepSpacing,
};

pub(super) static SPEC: SchedulerSpec = SchedulerSpec {
    name: "euler",
    class_name: "EulerDiscreteScheduler",
    timestep_spacing: TimestepSpacing::Linspace,
    keys: &[
        Key::Flag(ZERO_SNR),
        Key::Flag(KARRAS),
        Key::Positive(KARRAS_ENDS[0]),
        Key::Positive(KARRAS_ENDS[1]),
        Key::Only("use_exponential_sigmas", "false"),
        Key::Only("use_beta_sigmas", "false"),
        Key::Only("final_sigmas_type", "zero"),
        Key::Only("interpolation_type", "linear"),
        Key::Only("timestep_type", "discrete"),
    ],
    build: |run| Ok(Box::new(EulerScheduler { run: SigmaRun::new(run, true)? })),
};

#[derive(Debug)]
struct EulerScheduler {
    run: SigmaRun,
}

impl Scheduler for EulerScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.run.timesteps
    }

    fn init_noise_sigma(&self) -> f64 {
        self.run.init_noise_sigma
    }

    fn scale_model_input(&self, sample: Tensor<4>, index: usize) -> Tensor<4> {
        self.run.scale_model_input(sample, index)
    }

    fn step(
        &mut self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
        _variance_noise: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let derivative = self.run.derivative(model_output, index, sample.clone());
        sample + derivative * (self.run.sigmas[index + 1] - self.run.sigmas[index])
    }
}
