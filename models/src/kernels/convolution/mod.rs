//! Convolution of pictures by frozen weights.

mod filters;
mod geometry;
mod layer;
mod patches;
mod product;
mod small;
mod winograd;

pub(super) use layer::FrozenConvolution;
