//! AdamW (Loshchilov and Hutter 2019), in torch's order of operations.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::optimizer::{Optimizer, OptimizerConfig};

/// Settings of AdamW, with torch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamWConfig {
    /// Decay of the gradient's mean. Default: 0.9
    pub beta1: f64,
    /// Decay of the squared gradient's mean. Default: 0.999
    pub beta2: f64,
    /// Added to the denominator. Default: 1e-8
    pub epsilon: f64,
    /// Share of the learning rate by which parameters shrink each step. Default: 0.01
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-2 }
    }
}

impl OptimizerConfig for AdamWConfig {
    fn init(&self, parameters: &[Tensor<2>]) -> Box<dyn Optimizer> {
        let zeros: Vec<Tensor<2>> = parameters.iter().map(Tensor::zeros_like).collect();
        Box::new(AdamW { config: *self, updates: 0, exp_avg: zeros.clone(), exp_avg_sq: zeros })
    }
}

#[derive(Debug)]
struct AdamW {
    config: AdamWConfig,
    /// Updates made so far.
    updates: usize,
    /// Running mean of each gradient.
    exp_avg: Vec<Tensor<2>>,
    /// Running mean of each squared gradient.
    exp_avg_sq: Vec<Tensor<2>>,
}

impl AdamW {
    /// One parameter after the update that is number `self.updates` from 1.
    fn update_one(
        &mut self,
        index: usize,
        parameter: Tensor<2>,
        gradient: Tensor<2>,
        learning_rate: f64,
    ) -> Tensor<2> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let parameter = parameter.mul_scalar(1.0 - learning_rate * weight_decay);
        let (exp_avg, exp_avg_sq) = (self.exp_avg[index].clone(), self.exp_avg_sq[index].clone());
        let exp_avg = exp_avg.clone() + (gradient.clone() - exp_avg).mul_scalar(1.0 - beta1);
        let exp_avg_sq = exp_avg_sq.mul_scalar(beta2) + gradient.square().mul_scalar(1.0 - beta2);
        self.exp_avg[index] = exp_avg.clone();
        self.exp_avg_sq[index] = exp_avg_sq.clone();
        let correction = |beta: f64| 1.0 - beta.powi(self.updates as i32);
        let denominator =
            exp_avg_sq.sqrt().div_scalar(correction(beta2).sqrt()).add_scalar(epsilon);
        let step_size = learning_rate / correction(beta1);
        parameter - (exp_avg / denominator).mul_scalar(step_size)
    }
}

impl Optimizer for AdamW {
    fn update(
        &mut self,
        parameters: Vec<Tensor<2>>,
        gradients: Vec<Tensor<2>>,
        learning_rate: f64,
    ) -> Vec<Tensor<2>> {
        self.updates += 1;
        let pairs = parameters.into_iter().zip(gradients).enumerate();
        pairs.map(|(index, (p, g))| self.update_one(index, p, g, learning_rate)).collect()
    }

    fn memory(&self) -> Vec<(&'static str, Vec<Tensor<2>>)> {
        vec![("exp_avg", self.exp_avg.clone()), ("exp_avg_sq", self.exp_avg_sq.clone())]
    }

    fn restore(&mut self, updates: usize, memory: Vec<Vec<Tensor<2>>>) {
        self.updates = updates;
        if let Ok([exp_avg, exp_avg_sq]) = <[_; 2]>::try_from(memory) {
            (self.exp_avg, self.exp_avg_sq) = (exp_avg, exp_avg_sq);
        }
    }
}
