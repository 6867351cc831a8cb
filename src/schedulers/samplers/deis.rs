//! DEIS of second order in the logarithm of sigma, <https://arxiv.org/abs/2204.13902>: the slope over sigma is
//! the line in that logarithm through the last two slopes, integrated over the step.
//!
//! The last step goes to the sigma of the first training timestep, as in diffusers: at 0 there is no
//! logarithm. By Karras' sigmas it goes nowhere, because the last of them is that sigma, or what the file asks for.

use burn::tensor::Tensor;

use super::{
    sigmas::{KARRAS, alpha_prod},
    solver::SolverRun,
};
use crate::schedulers::{
    error::SchedulerError,
    keys::ZERO_SNR,
    run::SamplingRun,
    scheduler::Scheduler,
    spec::{Key, SchedulerSpec},
    timesteps::TimestepSpacing,
};

pub(super) static SPEC: SchedulerSpec = SchedulerSpec {
    name: "deis",
    class_name: "DEISMultistepScheduler",
    timestep_spacing: TimestepSpacing::Linspace,
    keys: &[
        Key::Only("thresholding", "false"),
        Key::Only(ZERO_SNR, "false"), // diffusers does not have it
        Key::Flag(KARRAS),
        Key::Only("use_exponential_sigmas", "false"),
        Key::Only("use_beta_sigmas", "false"),
        Key::Only("use_flow_sigmas", "false"),
        // what diffusers reads as these in files of DPM-Solver and UniPC
        Key::OnlyLike("algorithm_type", "deis", &["dpmsolver", "dpmsolver++"]),
        Key::Only("solver_order", "2"),
        Key::OnlyLike("solver_type", "logrho", &["midpoint", "heun", "bh1", "bh2"]),
        Key::Flag("lower_order_final"),
    ],
    build: |run| Ok(Box::new(DeisScheduler::new(run)?)),
};

/// From so many steps on, the last one is of second order too.
const MANY_STEPS: usize = 15;

#[derive(Debug)]
struct DeisScheduler {
    run: SolverRun,
    /// Whether the last step is of first order.
    ends_in_first_order: bool,
    /// The noise that the model saw at the call before: the slope there.
    previous_epsilon: Option<Tensor<4>>,
}

impl DeisScheduler {
    fn new(run: &SamplingRun) -> Result<Self, SchedulerError> {
        let lower_order_final = run.flag("lower_order_final").unwrap_or(true);
        let ends_in_first_order = lower_order_final && run.num_inference_steps() < MANY_STEPS;
        let (first_sigma, by_karras) =
            (run.noise_schedule().sigma(0.0), run.flag(KARRAS) == Some(true));
        let mut run = SolverRun::new(run)?;
        run.sigmas.pop();
        let end = run.sigmas.last().copied().filter(|_| by_karras).unwrap_or(first_sigma);
        run.sigmas.push(end);
        Ok(Self { run, ends_in_first_order, previous_epsilon: None })
    }
}

impl Scheduler for DeisScheduler {
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
            self.previous_epsilon = None;
        }
        let (sigma, next_sigma) = (self.run.sigmas[index], self.run.sigmas[index + 1]);
        let prediction = self.run.prediction_type;
        let epsilon = prediction.epsilon(sample.clone(), model_output, alpha_prod(sigma));
        let previous_epsilon = self.previous_epsilon.replace(epsilon.clone());
        let is_last = index + 1 == self.run.timesteps.len();
        let first_order = epsilon.clone() * (next_sigma - sigma);
        let change = match previous_epsilon {
            Some(previous) if !(is_last && self.ends_in_first_order) => {
                let weight = weight_of_bend(self.run.sigmas[index - 1], sigma, next_sigma);
                first_order + (previous - epsilon) * weight
            }
            _ => first_order,
        };
        // The slope is that of the samples of `SigmaRun`, which are these over the signal's level.
        let (alpha, next_alpha) = (alpha_prod(sigma).sqrt(), alpha_prod(next_sigma).sqrt());
        sample * (next_alpha / alpha) + change * next_alpha
    }
}

/// The integral, from `sigma` to `next`, of the line in the logarithm that is 1 at `previous` and 0 at `sigma`.
fn weight_of_bend(previous: f64, sigma: f64, next: f64) -> f64 {
    (next * ((next / sigma).ln() - 1.0) + sigma) / (previous / sigma).ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_slope_that_is_a_line_in_the_logarithm_is_integrated_exactly(
            line in prop::array::uniform2(-2.0_f64..2.0),
            next in 0.1_f64..2.0,
            gaps in prop::array::uniform2(0.2_f64..2.0),
        ) {
            let sigma = next + gaps[0];
            let previous = sigma + gaps[1];
            let slope = |x: f64| line[0] + line[1] * x.ln();
            let integral = |x: f64| x * (line[0] + line[1] * (x.ln() - 1.0));
            let got = slope(sigma) * (next - sigma)
                + (slope(previous) - slope(sigma)) * weight_of_bend(previous, sigma, next);
            let want = integral(next) - integral(sigma);
            prop_assert!((got - want).abs() < 1e-9 * (1.0 + want.abs()), "{got} {want}");
        }
    }
}
