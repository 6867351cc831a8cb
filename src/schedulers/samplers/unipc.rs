//! UniPC of second order with its B2, <https://arxiv.org/abs/2302.04867>: DPM-Solver++ 2M, whose step is taken
//! again at the next call, where the clean sample at its end is known too.
//!
//! The last step goes to sigma 0, where only the first order has a meaning.

use std::collections::VecDeque;

use burn::tensor::Tensor;

use super::{sigmas::KARRAS, solver::SolverRun};
use crate::schedulers::{
    keys::ZERO_SNR,
    scheduler::Scheduler,
    spec::{Key, SchedulerSpec},
    timesteps::TimestepSpacing,
};

pub(super) static SPEC: SchedulerSpec = SchedulerSpec {
    name: "unipc",
    class_name: "UniPCMultistepScheduler",
    timestep_spacing: TimestepSpacing::Linspace,
    keys: &[
        Key::Only("thresholding", "false"),
        Key::Flag(ZERO_SNR),
        Key::Flag(KARRAS),
        Key::Only("use_exponential_sigmas", "false"),
        Key::Only("use_beta_sigmas", "false"),
        Key::Only("use_flow_sigmas", "false"),
        Key::Only("final_sigmas_type", "zero"),
        Key::Only("solver_order", "2"),
        // what diffusers reads as this in files of DPM-Solver and DEIS
        Key::OnlyLike("solver_type", "bh2", &["midpoint", "heun", "logrho"]),
        Key::Only("predict_x0", "true"),
        Key::Only("lower_order_final", "true"),
        Key::Only("disable_corrector", "[]"),
        Key::Only("solver_p", "null"),
    ],
    build: |run| {
        let (run, originals) = (SolverRun::new(run)?, VecDeque::new());
        Ok(Box::new(UniPcScheduler { run, originals, start: None }))
    },
};

#[derive(Debug)]
struct UniPcScheduler {
    run: SolverRun,
    /// The clean samples predicted at the last two calls, newest first.
    originals: VecDeque<Tensor<4>>,
    /// Where the last step began.
    start: Option<Tensor<4>>,
}

impl UniPcScheduler {
    /// Where the step of call `index`, the last one, ends if the clean sample at its end is `reached`.
    fn corrected(&self, start: Tensor<4>, reached: Tensor<4>, index: usize) -> Tensor<4> {
        let original = self.originals[0].clone();
        let estimate = match self.originals.get(1) {
            Some(older) => {
                let steps = [index - 1, index].map(|index| self.run.log_step(index));
                let [of_older, of_reached] = weights(steps);
                original.clone()
                    + (older.clone() - original.clone()) * of_older
                    + (reached - original) * of_reached
            }
            None => (original + reached) * 0.5,
        };
        self.run.step_to(start, estimate, index)
    }
}

impl Scheduler for UniPcScheduler {
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
            self.originals.clear();
            self.start = None;
        }
        let original = self.run.original(sample.clone(), model_output, index);
        let sample = match self.start.take() {
            Some(start) => self.corrected(start, original.clone(), index - 1),
            None => sample,
        };
        self.start = Some(sample.clone());
        let previous = self.originals.front().cloned();
        self.originals.push_front(original.clone());
        self.originals.truncate(2);
        let estimate = self.run.midpoint(original, previous, index);
        self.run.step_to(sample, estimate, index)
    }
}

/// The estimate that leads to the end of a step is a mean of the clean samples on it, weighted by the falling
/// noise. On the parabola through the one before the step, the one at its begin and the one at its end, it is
/// the one at the begin and these shares of the first's and the last's differences from it.
fn weights([step_before, step]: [f64; 2]) -> [f64; 2] {
    let before = -step_before / step; // in steps from the begin
    let noise_taken = -(-step).exp_m1();
    let mean_place = 1.0 / noise_taken - 1.0 / step;
    let mean_square = 1.0 / noise_taken - 2.0 * mean_place / step;
    let of_slope_before = (mean_place - mean_square) / (1.0 - before);
    [of_slope_before / before, mean_place - of_slope_before]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_mean_of_a_parabola_is_exact(
            parabola in prop::array::uniform2(-2.0_f64..2.0),
            steps in prop::array::uniform2(0.1_f64..3.0),
        ) {
            const PLACES: usize = 2000;
            let value = |place: f64| place * (parabola[0] + parabola[1] * place);
            let places = (0..PLACES).map(|place| (place as f64 + 0.5) / PLACES as f64);
            // the clean sample counts as the signal-to-noise ratio's root grows
            let (sum, total) = places.fold((0.0, 0.0), |(sum, total), place| {
                let weight = (steps[1] * place).exp();
                (sum + weight * value(place), total + weight)
            });
            let want = sum / total;
            let [of_older, of_reached] = weights(steps);
            let got = of_older * value(-steps[0] / steps[1]) + of_reached * value(1.0);
            prop_assert!((got - want).abs() < 1e-5 * (1.0 + want.abs()), "{got} {want}");
        }
    }
}
