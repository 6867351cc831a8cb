//! DPM-Solver++ 2M, <https://arxiv.org/abs/2211.01095>, algorithm 2 with the midpoint correction.
//!
//! The last step goes to sigma 0, where the correction has no meaning: it is of first order
//! whatever the configuration's `lower_order_final` says, as in diffusers.

use burn::tensor::Tensor;

use super::sigmas::{KARRAS, alpha_prod, with_sigmas};
use crate::schedulers::{
    error::SchedulerError,
    keys::ZERO_SNR,
    prediction::PredictionType,
    run::SamplingRun,
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
    build: |run| Ok(Box::new(DpmSolverScheduler::new(run)?)),
};

#[derive(Debug)]
struct DpmSolverScheduler {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    prediction_type: PredictionType,
    /// The clean sample predicted at the call before.
    previous_original: Option<Tensor<4>>,
}

impl DpmSolverScheduler {
    fn new(run: &SamplingRun) -> Result<Self, SchedulerError> {
        // One step more is spread, and the one at the clean end left out.
        let leaves_out_last = run.timestep_spacing() != TimestepSpacing::Trailing;
        let count = run.num_inference_steps() + usize::from(leaves_out_last);
        let timesteps = run.first_timesteps_of(count)?;
        let schedule = run.noise_schedule();
        let last = (schedule.alphas_cumprod().len() - 1) as f64;
        let (timesteps, sigmas) = with_sigmas(run, timesteps, [last, 0.0]);
        // the model is asked at whole ones, also where the sigmas lie between
        let timesteps = timesteps.into_iter().map(f64::round_ties_even).collect();
        let prediction_type = schedule.prediction_type();
        Ok(Self { timesteps, sigmas, prediction_type, previous_original: None })
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
