//! Scaled dot-product attention over several heads ("Attention Is All You Need", 3.2), as every
//! network here computes it.

use burn::{
    nn::Linear,
    tensor::{Tensor, activation::softmax},
};

#[cfg(feature = "flex")]
use crate::kernels;
use crate::{
    precision::widened,
    product::{linear, matmul},
};

#[cfg(feature = "extension")]
mod chunked;
#[cfg(all(test, feature = "extension", feature = "autodiff"))]
mod tests;

/// A sequence's attention to itself, by its projections to queries, keys, values and the output.
///
/// # Shapes
///
/// - x: `[batch_size, length, width]`
/// - mask: `[1, 1, length, length]`, added to the scores
/// - output: the shape of `x`
pub(crate) fn self_attention(
    [query, key, value, output]: [&Linear; 4],
    x: Tensor<3>,
    heads: usize,
    mask: Option<Tensor<4>>,
) -> Tensor<3> {
    let (query, key) = (linear(query, x.clone()), linear(key, x.clone()));
    linear(output, multi_head_attention(query, key, linear(value, x), heads, mask))
}

/// `softmax(q kᵀ / sqrt(head width) + mask) v` for each head.
///
/// # Shapes
///
/// - query: `[batch_size, query_length, heads * width]`
/// - key, value: `[batch_size, key_length, heads * width]`
/// - mask: `[1, 1, query_length, key_length]`, added to the scores
/// - output: `[batch_size, query_length, heads * width]`
pub(crate) fn multi_head_attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
    mask: Option<Tensor<4>>,
) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(output) = kernels::attention([&query, &key, &value], heads, mask.as_ref()) {
        return output;
    }
    #[cfg(feature = "extension")]
    if let Some(output) = chunked::attention([&query, &key, &value], heads, mask.as_ref()) {
        return output;
    }
    plain(query, key, value, heads, mask)
}

/// The same by burn's own operations, which hold the scores whole.
pub(crate) fn plain(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
    mask: Option<Tensor<4>>,
) -> Tensor<3> {
    let [batch_size, query_length, channels] = query.dims();
    let width = channels / heads;
    let split = |x: Tensor<3>| {
        let [_, length, _] = x.dims();
        x.reshape([batch_size, length, heads, width]).swap_dims(1, 2)
    };
    let scale = (width as f64).powf(-0.5);
    let scores = matmul(split(query).mul_scalar(scale), split(key).transpose());
    let (scores, dtype) = (widened(scores), value.dtype());
    let scores = match mask {
        Some(mask) => scores + mask,
        None => scores,
    };
    let attended = matmul(softmax(scores, 3).cast(dtype), split(value));
    attended.swap_dims(1, 2).reshape([batch_size, query_length, channels])
}
