//! Sharpness-aware minimisation (Foret et al. 2021; adaptive: Kwon et al. 2021) around SGD with
//! momentum, as the official code means it: with a second forward pass at the climbed-to point.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

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

impl SamConfig {
    /// Where the second gradient is taken: `p + rho * g / |g|`, or, adaptive,
    /// `p + rho * p² g / |p g|`, the norm being over all parameters together.
    ///
    /// # Shapes
    ///
    /// - parameters, gradients, output: one shape for each place, without autodiff
    pub fn ascend(&self, parameters: &[Tensor<2>], gradients: &[Tensor<2>]) -> Vec<Tensor<2>> {
        let scaled = |(parameter, gradient): (&Tensor<2>, &Tensor<2>)| match self.adaptive {
            true => parameter.clone().abs() * gradient.clone(),
            false => gradient.clone(),
        };
        let pairs = || parameters.iter().zip(gradients);
        let squares = pairs().map(|pair| total(scaled(pair).square())).collect();
        let norm = total(Tensor::cat(squares, 0)).sqrt().add_scalar(1e-12);
        let climb = norm.recip().mul_scalar(self.rho).reshape([1, 1]);
        pairs()
            .map(|(parameter, gradient)| {
                let step = match self.adaptive {
                    true => parameter.clone().square() * gradient.clone(),
                    false => gradient.clone(),
                };
                parameter.clone() + step * climb.clone()
            })
            .collect()
    }
}
