//! Pseudo numerical methods for diffusion models, <https://arxiv.org/abs/2202.09778>: a linear
//! multistep method (PLMS) started by Runge-Kutta steps (PRK), or, as latent diffusion does it,
//! by one step that is taken again with the mean of two outputs.

use std::collections::VecDeque;

use burn::tensor::Tensor;

use crate::schedulers::{
    error::SchedulerError,
    keys::ZERO_SNR,
    noise_schedule::NoiseSchedule,
    run::SamplingRun,
    scheduler::Scheduler,
    spec::{Key, SchedulerSpec},
    timesteps::TimestepSpacing,
};

pub(super) static SPEC: SchedulerSpec = SchedulerSpec {
    name: "pndm",
    class_name: "PNDMScheduler",
    timestep_spacing: TimestepSpacing::Leading,
    keys: &[
        Key::Flag("set_alpha_to_one"),
        Key::Flag("skip_prk_steps"),
        Key::Only(ZERO_SNR, "false"), // its steps divide by the signal
    ],
    build: |run| Ok(Box::new(PndmScheduler::new(run)?)),
};

/// Weights of the model outputs, newest first, by the number of older outputs at hand.
const ADAMS_BASHFORTH: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];
const RUNGE_KUTTA_STAGES: usize = 4;
const RUNGE_KUTTA_STEPS: usize = 3;
/// The fewest steps that hold the Runge-Kutta start.
const MIN_STEPS_WITH_RUNGE_KUTTA: usize = RUNGE_KUTTA_STEPS + 1;

#[derive(Debug)]
struct PndmScheduler {
    schedule: NoiseSchedule,
    timesteps: Vec<f64>,
    /// Training timesteps per step.
    stride: usize,
    /// The cumulative product of alphas before timestep 0.
    final_alpha_prod: f64,
    runge_kutta_calls: usize,
    /// Up to three older outputs, newest first.
    outputs: VecDeque<Tensor<4>>,
    /// The outputs of this Runge-Kutta step, oldest first.
    stages: Vec<Tensor<4>>,
    /// Where the step that takes several calls began.
    start_sample: Option<Tensor<4>>,
}

impl PndmScheduler {
    fn new(run: &SamplingRun) -> Result<Self, SchedulerError> {
        let skip_prk_steps = run.flag("skip_prk_steps").unwrap_or(false);
        if !skip_prk_steps && run.num_inference_steps() < MIN_STEPS_WITH_RUNGE_KUTTA {
            return Err(run.refuse_steps(format!(
                "at least {MIN_STEPS_WITH_RUNGE_KUTTA} unless `skip_prk_steps` is `true`"
            )));
        }
        let (steps, stride) = (run.timesteps()?, run.stride());
        let (timesteps, runge_kutta_calls) = if skip_prk_steps {
            // The second timestep comes twice.
            let again = steps.get(1).into_iter();
            (steps.iter().take(2).chain(again).chain(steps.iter().skip(2)).copied().collect(), 0)
        } else {
            let half = (stride / 2) as f64;
            let start = steps.windows(2).take(RUNGE_KUTTA_STEPS).flat_map(|pair| {
                let middle = pair[1] + half;
                [pair[0], middle, middle, pair[1]]
            });
            let rest = steps.iter().skip(RUNGE_KUTTA_STEPS).copied();
            (start.chain(rest).collect(), RUNGE_KUTTA_STEPS * RUNGE_KUTTA_STAGES)
        };
        Ok(Self {
            schedule: run.noise_schedule().clone(),
            timesteps,
            stride,
            final_alpha_prod: run.final_alpha_prod(false),
            runge_kutta_calls,
            outputs: VecDeque::new(),
            stages: Vec::new(),
            start_sample: None,
        })
    }

    fn step_runge_kutta(
        &mut self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
    ) -> Tensor<4> {
        let stage = index % RUNGE_KUTTA_STAGES;
        if stage == 0 {
            self.stages.clear();
            self.remember(model_output.clone());
            self.start_sample = Some(sample.clone());
        }
        let output = if stage == RUNGE_KUTTA_STAGES - 1 {
            (self.stages.iter().zip([1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0]))
                .fold(model_output / 6.0, |sum, (older, weight)| sum + older.clone() * weight)
        } else {
            self.stages.push(model_output.clone());
            model_output
        };
        let start = self.start_sample.clone().unwrap_or(sample);
        let half = if stage % 2 == 1 { 0 } else { self.stride / 2 };
        let timestep = self.timesteps[index - stage] as usize;
        self.transfer(start, timestep, (self.timesteps[index] as usize).checked_sub(half), output)
    }

    fn step_multistep(
        &mut self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
    ) -> Tensor<4> {
        let timestep = self.timesteps[index] as usize;
        if index == 1 {
            let output = match self.outputs.front() {
                Some(first) => (model_output + first.clone()) / 2.0,
                None => model_output,
            };
            let start = self.start_sample.take().unwrap_or(sample);
            return self.transfer(start, timestep + self.stride, Some(timestep), output);
        }
        if index == 0 {
            self.start_sample = Some(sample.clone());
        }
        let weights = ADAMS_BASHFORTH[self.outputs.len()];
        let output = (self.outputs.iter().zip(&weights[1..]))
            .fold(model_output.clone() * weights[0], |sum, (older, weight)| {
                sum + older.clone() * *weight
            });
        self.remember(model_output);
        self.transfer(sample, timestep, timestep.checked_sub(self.stride), output)
    }

    fn remember(&mut self, model_output: Tensor<4>) {
        self.outputs.push_front(model_output);
        self.outputs.truncate(ADAMS_BASHFORTH.len() - 1);
    }

    /// Formula 9: from `timestep` to `previous`, or to the clean end when there is none.
    fn transfer(
        &self,
        sample: Tensor<4>,
        timestep: usize,
        previous: Option<usize>,
        model_output: Tensor<4>,
    ) -> Tensor<4> {
        let alpha_prod = self.schedule.alpha_prod(timestep);
        let alpha_prod_previous =
            previous.map_or(self.final_alpha_prod, |timestep| self.schedule.alpha_prod(timestep));
        let epsilon =
            self.schedule.prediction_type().epsilon(sample.clone(), model_output, alpha_prod);
        let denominator = alpha_prod * (1.0 - alpha_prod_previous).sqrt()
            + (alpha_prod * (1.0 - alpha_prod) * alpha_prod_previous).sqrt();
        sample * (alpha_prod_previous / alpha_prod).sqrt()
            - epsilon * ((alpha_prod_previous - alpha_prod) / denominator)
    }
}

impl Scheduler for PndmScheduler {
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
            self.outputs.clear();
        }
        if index < self.runge_kutta_calls {
            self.step_runge_kutta(model_output, index, sample)
        } else {
            self.step_multistep(model_output, index, sample)
        }
    }
}
