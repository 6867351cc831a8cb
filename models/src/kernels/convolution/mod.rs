//! Convolution of pictures by frozen weights.

mod geometry;
mod layer;
mod patches;
mod product;
mod winograd;

pub(super) use layer::FrozenConvolution;
