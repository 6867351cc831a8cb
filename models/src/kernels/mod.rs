//! The costly layers, computed faster than burn's own on its CPU backend: where the tensors are f32
//! (or f16 or bf16, cast to f32 and back) and the layer's weights carry no gradient, which is what a
//! frozen network is. Everywhere else each function here is burn's own.

// The gradients.
#![cfg_attr(not(feature = "autodiff"), allow(dead_code))]

#[cfg(feature = "flex")]
mod activation;
#[cfg(feature = "flex")]
mod attention;
#[cfg(feature = "flex")]
mod convolution;
#[cfg(feature = "flex")]
mod extension;
#[cfg(feature = "flex")]
mod functions;
#[cfg(feature = "flex")]
mod kept;
mod layers;
#[cfg(feature = "flex")]
mod linear;
#[cfg(feature = "flex")]
mod matrix;
#[cfg(feature = "flex")]
mod norm;
#[cfg(feature = "flex")]
mod parallel;
#[cfg(feature = "flex")]
mod spent;
#[cfg(feature = "flex")]
mod tile;

#[cfg(feature = "flex")]
pub(crate) use kept::is_small;
#[cfg(feature = "flex")]
pub(crate) use layers::attention;
pub(crate) use layers::{
    activate, conv2d, gated_gelu, group_norm, group_norm_silu, layer_norm, linear,
};
#[cfg(feature = "flex")]
pub(crate) use parallel::{each, shares};
#[cfg(feature = "flex")]
pub use parallel::{on_cores, threads};
#[cfg(feature = "flex")]
pub use spent::{KernelKind, Spent, count_kernels, spent_in_kernels};

#[cfg(all(test, feature = "flex", feature = "autodiff"))]
mod tests;
