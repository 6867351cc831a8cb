//! DPM-Solver++ 2M, <https://arxiv.org/abs/2211.01095>, algorithm 2 with the midpoint correction.
//!
//! The last step goes to sigma 0, where the correction has no meaning: it is of first order
//! whatever the configuration's `lower_order_final` says, as in diffusers.

use burn::tensor::Tensor;

use super::{sigmas::KARRAS, solver::SolverRun};
use crate::schedulers::{
    keys::ZERO_SNR,
    scheduler::Scheduler,
    spec::{Key, SchedulerSpec},
    timesteps::TimestepSpacing,
};

pub(super) static SPEC: SchedulerSpec = SchedulerSpec {
    name: "dpm++",
    class_name: "DPMSolverMultistepScheduler",
    timestep_spacing: TimestepSpacing::Linspace,
    keys: &[
        Key::Only("thresholding", "false"),
        Key::Flag(ZERO_SNR),
        Key::Flag(KARRAS),
        Key::Only("use_exponential_sigmas", "false"),
        Key::Only("use_beta_sigmas", "false"),
        Key::Only("use_lu_lambdas", "false"),
        Key::Only("use_flow_sigmas", "false"),
        Key::Only("final_sigmas_type", "zero"),
        // what diffusers reads as these in files of DEIS and UniPC
        Key::OnlyLike("algorithm_type", "dpmsolver++", &["deis"]),
        Key::Only("solver_order", "2"),
        Key::OnlyLike("solver_type", "midpoint", &["logrho", "bh1", "bh2"]),
        Key::Only("lambda_min_clipped", "null"),
    ],
    build: |run| {
        Ok(Box::new(DpmSolverScheduler { run: SolverRun::new(run)?, previous_original: None }))
    },
};

#[derive(Debug)]
struct DpmSolverScheduler {
    run: SolverRun,
    /// The clean sample predicted at the call before.
    previous_original: Option<Tensor<4>>,
}

impl Scheduler for DpmSolverScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.run.timesteps
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
        let original = self.run.original(sample.clone(), model_output, index);
        let previous_original = self.previous_original.replace(original.clone());
        let estimate = self.run.midpoint(original, previous_original, index);
        self.run.step_to(sample, estimate, index)
    }
}
