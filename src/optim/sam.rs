//! Sharpness-aware minimisation (Foret et al. 2021; adaptive: Kwon et al. 2021) around SGD with
//! momentum, as the official code means it: with a second forward pass at the climbed-to point.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::optimizer::{Optimizer, OptimizerConfig};
use crate::tensor::total;

/// Settings of SAM, with the official code's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamConfig {
    /// Length of the climb. Default: 0.05
    pub rho: f64,
    /// Whether the climb is scaled by the parameters. Default: no
    pub adaptive: bool,
    /// Momentum of the SGD inside. Default: 0.9
    pub momentum: f64,
}

impl Default for SamConfig {
    fn default() -> Self {
        Self { rho: 0.05, adaptive: false, momentum: 0.9 }
    }
}

impl OptimizerConfig for SamConfig {
    fn init(&self, parameters: &[Tensor<2>]) -> Box<dyn Optimizer> {
        let momentum = parameters.iter().map(Tensor::zeros_like).collect();
        Box::new(Sam { config: *self, momentum })
    }
}

#[derive(Debug)]
struct Sam {
    config: SamConfig,
    /// The running sum of each parameter's gradients.
    momentum: Vec<Tensor<2>>,
}

impl Optimizer for Sam {
    /// `p + rho * g / |g|`, or, adaptive, `p + rho * p² g / |p g|`, the norm being over all
    /// parameters together.
    fn ascend(&self, parameters: &[Tensor<2>], gradients: &[Tensor<2>]) -> Option<Vec<Tensor<2>>> {
        let SamConfig { rho, adaptive, .. } = self.config;
        let pairs = || parameters.iter().zip(gradients);
        let squares = pairs().map(|(parameter, gradient)| {
            let scaled = if adaptive {
                parameter.clone().abs() * gradient.clone()
            } else {
                gradient.clone()
            };
            total(scaled.square())
        });
        let norm = total(Tensor::cat(squares.collect(), 0)).sqrt().add_scalar(1e-12);
        let climb = norm.recip().mul_scalar(rho).reshape([1, 1]);
        let uphill = pairs().map(|(parameter, gradient)| {
            let step = if adaptive {
                parameter.clone().square() * gradient.clone()
            } else {
                gradient.clone()
            };
            parameter.clone() + step * climb.clone()
        });
        Some(uphill.collect())
    }

    fn update(
        &mut self,
        parameters: Vec<Tensor<2>>,
        gradients: Vec<Tensor<2>>,
        learning_rate: f64,
    ) -> Vec<Tensor<2>> {
        let pairs = parameters.into_iter().zip(gradients).zip(&mut self.momentum);
        pairs
            .map(|((parameter, gradient), velocity)| {
                *velocity = velocity.clone().mul_scalar(self.config.momentum) + gradient;
                parameter - velocity.clone().mul_scalar(learning_rate)
            })
            .collect()
    }

    fn memory(&self) -> Vec<(&'static str, Vec<Tensor<2>>)> {
        vec![("momentum", self.momentum.clone())]
    }

    fn restore(&mut self, _updates: usize, memory: Vec<Vec<Tensor<2>>>) {
        if let Ok([momentum]) = <[_; 1]>::try_from(memory) {
            self.momentum = momentum;
        }
    }
}
