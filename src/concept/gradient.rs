//! The gradient of a loss for what a run trains.

use burn::tensor::Tensor;

use super::Concept;

impl Concept {
    /// The gradient of a tracked loss `[1]` for each parameter, in their order and shapes, plain; zeros
    /// where the loss does not depend on one. With `scale` it is taken of the loss times that, and
    /// divided by it: small gradients in f16 need that.
    pub fn gradient(&self, loss: &Tensor<1>, scale: Option<f64>) -> Vec<Tensor<2>> {
        let gradients = match scale {
            Some(scale) => loss.clone().mul_scalar(scale).backward(),
            None => loss.backward(),
        };
        let of = |parameter: &super::Parameter| {
            let gradient = parameter.tracked().grad(&gradients);
            let gradient = gradient.unwrap_or_else(|| parameter.value().zeros_like());
            match scale {
                Some(scale) => gradient.div_scalar(scale),
                None => gradient,
            }
        };
        self.parameters().iter().map(of).collect()
    }
}
