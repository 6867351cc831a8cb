//! The linear multistep method of k-diffusion: the slope over sigma is the polynomial through the
//! last slopes, integrated over the step.

use std::collections::VecDeque;

use burn::tensor::Tensor;

use super::sigmas::{KARRAS, KARRAS_ENDS, SigmaRun};
use crate::schedulers::{
    error::SchedulerError,
    keys::ZERO_SNR,
    scheduler::Scheduler,
    spec::{Key, SchedulerSpec},
    timesteps::TimestepSpacing,
};

pub(super) static SPEC: SchedulerSpec = SchedulerSpec {
    name: "lms",
    class_name: "LMSDiscreteScheduler",
    timestep_spacing: TimestepSpacing::Linspace,
    keys: &[
        Key::Flag(KARRAS),
        Key::Only(ZERO_SNR, "false"),
        Key::Only("use_exponential_sigmas", "false"),
        Key::Only("use_beta_sigmas", "false"),
    ],
    build: |run| {
        let ends = KARRAS_ENDS.into_iter().find_map(|key| Some((key, run.number(key)?)));
        // diffusers' LMS does not know these ends, and nothing but Karras' sigmas has them
        if let (Some(true), Some((key, value))) = (run.flag(KARRAS), ends) {
            let (value, scheduler, supported) = (value.to_string(), run.name, "null");
            return Err(SchedulerError::Unsupported { key, value, scheduler, supported });
        }
        Ok(Box::new(LmsScheduler { run: SigmaRun::new(run, true)?, derivatives: VecDeque::new() }))
    },
};

const ORDER: usize = 4;

#[derive(Debug)]
struct LmsScheduler {
    run: SigmaRun,
    /// The slopes of the last `ORDER` calls, newest first.
    derivatives: VecDeque<Tensor<4>>,
}

impl Scheduler for LmsScheduler {
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
        if index == 0 {
            self.derivatives.clear();
        }
        self.derivatives.push_front(self.run.derivative(model_output, index, sample.clone()));
        self.derivatives.truncate(ORDER);
        let coefficients = coefficients(&self.run.sigmas, index);
        (self.derivatives.iter().zip(coefficients))
            .fold(sample, |sum, (derivative, weight)| sum + derivative.clone() * weight)
    }
}

/// The integral, over the step from `sigmas[index]` to the next, of each Lagrange polynomial
/// through the last sigmas, newest first.
fn coefficients(sigmas: &[f64], index: usize) -> Vec<f64> {
    let oldest = (index + 1).saturating_sub(ORDER);
    let nodes: Vec<f64> = sigmas[oldest..=index].iter().rev().copied().collect();
    let (from, to) = (sigmas[index], sigmas[index + 1]);
    (0..nodes.len())
        .map(|own| {
            let polynomial = |sigma: f64| -> f64 {
                (nodes.iter().enumerate())
                    .filter(|(other, _)| *other != own)
                    .map(|(_, node)| (sigma - node) / (nodes[own] - node))
                    .product()
            };
            // Simpson's rule is exact up to cubics, and four nodes make cubics.
            (to - from) / 6.0
                * (polynomial(from) + 4.0 * polynomial((from + to) / 2.0) + polynomial(to))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cubic_slope_is_integrated_exactly(
            cubic in prop::array::uniform4(-2.0_f64..2.0),
            gaps in prop::array::uniform4(0.2_f64..2.0),
        ) {
            let mut sigmas = vec![0.0];
            sigmas.extend(gaps.iter().scan(0.0, |sum, gap| { *sum += gap; Some(*sum) }));
            sigmas.reverse();
            let slope = |x: f64| cubic[0] + x * (cubic[1] + x * (cubic[2] + x * cubic[3]));
            let integral = |x: f64| {
                x * (cubic[0] + x * (cubic[1] / 2.0 + x * (cubic[2] / 3.0 + x * cubic[3] / 4.0)))
            };
            let got: f64 = coefficients(&sigmas, 3).iter().zip(sigmas[..4].iter().rev())
                .map(|(weight, sigma)| weight * slope(*sigma)).sum();
            let want = integral(sigmas[4]) - integral(sigmas[3]);
            prop_assert!((got - want).abs() < 1e-8 * (1.0 + want.abs()), "{got} {want}");
        }
    }

    #[test]
    fn the_first_step_is_eulers() {
        assert_eq!(coefficients(&[14.0, 9.0, 0.0], 0), [-5.0]);
    }
}
