//! The optimiser of a run: one of several, for several parameters.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{AdamW, AdamWConfig, SamConfig};

/// Which optimiser, and its settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum OptimizerConfig {
    /// [`AdamW`].
    AdamW(AdamWConfig),
    /// Sharpness-aware minimisation; without weight decay.
    Sam(SamConfig),
}

/// An optimiser and its memory of each parameter.
#[derive(Clone, Debug)]
pub struct Optimizer(State);

#[derive(Clone, Debug)]
enum State {
    AdamW(Vec<AdamW<2>>),
    Sam { config: SamConfig, momentum: Vec<Tensor<2>> },
}

impl Optimizer {
    /// An optimiser that has seen nothing, for parameters of these shapes and device.
    pub fn new(config: OptimizerConfig, parameters: &[Tensor<2>]) -> Self {
        Self(match config {
            OptimizerConfig::AdamW(config) => {
                State::AdamW(parameters.iter().map(|p| AdamW::new(config, p)).collect())
            }
            OptimizerConfig::Sam(config) => {
                State::Sam { config, momentum: parameters.iter().map(Tensor::zeros_like).collect() }
            }
        })
    }

    /// Where a second gradient must be taken before the update, for optimisers that want one.
    pub fn ascend(
        &self,
        parameters: &[Tensor<2>],
        gradients: &[Tensor<2>],
    ) -> Option<Vec<Tensor<2>>> {
        match &self.0 {
            State::AdamW(_) => None,
            State::Sam { config, .. } => Some(config.ascend(parameters, gradients)),
        }
    }

    /// The parameters after one update.
    ///
    /// # Shapes
    ///
    /// - parameters, gradients, output: one shape for each place, without autodiff
    pub fn update(
        &mut self,
        parameters: Vec<Tensor<2>>,
        gradients: Vec<Tensor<2>>,
        learning_rate: f64,
    ) -> Vec<Tensor<2>> {
        let pairs = parameters.into_iter().zip(gradients);
        match &mut self.0 {
            State::AdamW(each) => {
                pairs.zip(each).map(|((p, g), adamw)| adamw.update(p, g, learning_rate)).collect()
            }
            State::Sam { config, momentum } => pairs
                .zip(momentum)
                .map(|((parameter, gradient), velocity)| {
                    *velocity = velocity.clone().mul_scalar(config.momentum) + gradient;
                    parameter - velocity.clone().mul_scalar(learning_rate)
                })
                .collect(),
        }
    }

    /// What is remembered of each parameter, by name.
    pub fn memory(&self) -> Vec<Vec<(&'static str, Tensor<2>)>> {
        match &self.0 {
            State::AdamW(each) => {
                let slots = |adamw: &AdamW<2>| {
                    let (mean, square) = (adamw.exp_avg.clone(), adamw.exp_avg_sq.clone());
                    vec![("exp_avg", mean), ("exp_avg_sq", square)]
                };
                each.iter().map(slots).collect()
            }
            State::Sam { momentum, .. } => {
                momentum.iter().map(|velocity| vec![("momentum", velocity.clone())]).collect()
            }
        }
    }

    /// Takes back what [`memory`](Self::memory) gave after `step` updates (skipped ones do not
    /// count), in the same order.
    pub fn restore(&mut self, step: usize, memory: Vec<Vec<Tensor<2>>>) {
        match &mut self.0 {
            State::AdamW(each) => {
                for (adamw, slots) in each.iter_mut().zip(memory) {
                    adamw.step = step;
                    if let [exp_avg, exp_avg_sq] = slots.as_slice() {
                        adamw.exp_avg = exp_avg.clone();
                        adamw.exp_avg_sq = exp_avg_sq.clone();
                    }
                }
            }
            State::Sam { momentum, .. } => {
                for (velocity, slots) in momentum.iter_mut().zip(memory) {
                    slots.into_iter().for_each(|slot| *velocity = slot);
                }
            }
        }
    }
}
