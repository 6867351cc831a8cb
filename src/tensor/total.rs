//! Sums that repeat.

use burn::tensor::Tensor;

/// The sum of all values, `[1]`, added in the same order each time: burn's `sum` adds the parts of a
/// large tensor in whatever order they come in on CUDA.
pub(crate) fn total<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    x.flatten::<1>(0, D - 1).sum_dim(0)
}
