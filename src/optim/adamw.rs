//! AdamW (Loshchilov and Hutter 2019), in torch's order of operations.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Settings of [`AdamW`], with torch's defaults.
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

/// The optimiser's memory of one parameter.
#[derive(Clone, Debug)]
pub struct AdamW<const D: usize> {
    config: AdamWConfig,
    /// Updates made so far.
    pub step: usize,
    /// Running mean of the gradient; the parameter's shape.
    pub exp_avg: Tensor<D>,
    /// Running mean of the squared gradient; the parameter's shape.
    pub exp_avg_sq: Tensor<D>,
}

impl<const D: usize> AdamW<D> {
    /// An optimiser that has seen nothing, for a parameter of this shape and device.
    pub fn new(config: AdamWConfig, parameter: &Tensor<D>) -> Self {
        let zeros = parameter.zeros_like();
        Self { config, step: 0, exp_avg: zeros.clone(), exp_avg_sq: zeros }
    }

    /// The parameter after one update.
    ///
    /// # Shapes
    ///
    /// - parameter, gradient, output: one shape, without autodiff
    pub fn update(
        &mut self,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        learning_rate: f64,
    ) -> Tensor<D> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        self.step += 1;
        let parameter = parameter.mul_scalar(1.0 - learning_rate * weight_decay);
        let exp_avg = self.exp_avg.clone();
        self.exp_avg = exp_avg.clone() + (gradient.clone() - exp_avg).mul_scalar(1.0 - beta1);
        self.exp_avg_sq =
            self.exp_avg_sq.clone().mul_scalar(beta2) + gradient.square().mul_scalar(1.0 - beta2);
        let correction = |beta: f64| 1.0 - beta.powi(self.step as i32);
        let denominator =
            self.exp_avg_sq.clone().sqrt().div_scalar(correction(beta2).sqrt()).add_scalar(epsilon);
        let step_size = learning_rate / correction(beta1);
        parameter - (self.exp_avg.clone() / denominator).mul_scalar(step_size)
    }
}
