//! The activation functions.

use burn::tensor::{Tensor, activation};
use serde::Deserialize;

/// The activation functions that CLIP's and Stable Diffusion's configurations name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, OpenAI's approximation.
    QuickGelu,
    /// The exact GELU, by the error function.
    Gelu,
    /// `x * sigmoid(x)`.
    #[serde(alias = "swish")]
    Silu,
}

impl Activation {
    /// Applies the function to every element of `x` by burn's own operations; the shape stays.
    pub(crate) fn plain<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::QuickGelu => activation::sigmoid(x.clone().mul_scalar(1.702)) * x,
            Self::Gelu => gelu(x),
            Self::Silu => activation::silu(x),
        }
    }
}

/// The exact GELU, `x (1 + erf(x / sqrt 2)) / 2`.
///
/// Not burn 0.22.1's own: except on flex its gradient is that of the tanh approximation, which
/// puts the concept's gradient off by 2.6e-4.
fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let share = x.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0);
    x * share.mul_scalar(0.5)
}
