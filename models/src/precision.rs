//! Networks in 16 bits: what is computed in f32 all the same.

use burn::tensor::{DType, Tensor};

/// Whether the type is f16 or bf16.
pub(crate) fn is_low(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// The same in f32, if it is of a low type.
pub(crate) fn widened<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_low(x.dtype()) { x.cast(DType::F32) } else { x }
}

/// What `function` makes of `x` in f32, in the type of `x`.
pub(crate) fn in_f32<const D: usize>(
    x: Tensor<D>,
    function: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    let dtype = x.dtype();
    function(widened(x)).cast(dtype)
}
