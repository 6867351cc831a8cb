//! The layers, each by its kernel where that can be.

use burn::{
    nn::{GroupNorm, LayerNorm, Linear, conv::Conv2d},
    tensor::{Tensor, activation::silu},
};

#[cfg(feature = "flex")]
use super::{activation, attention::Attention, convolution, extension, linear::FrozenLinear, norm};
use crate::{activation::Activation, precision::in_f32};

/// `layer.forward(x)`.
///
/// # Shapes
///
/// - x: `[batch_size, channels_in, height, width]`
/// - output: `[batch_size, channels_out, height_out, width_out]`
pub(crate) fn conv2d(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(kernel) = convolution::FrozenConvolution::new(layer, x.dims())
        && let Some(output) = extension::apply(kernel, [&x])
    {
        return output;
    }
    layer.forward(x)
}

/// `layer.forward(x)`.
///
/// # Shapes
///
/// - x: `[..., inputs]`
/// - output: `[..., outputs]`
pub(crate) fn linear<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(kernel) = FrozenLinear::new(layer, x.shape())
        && let Some(output) = extension::apply(kernel, [&x])
    {
        return output;
    }
    layer.forward(x)
}

/// `layer.forward(x)`, with statistics in f32 whatever the type of `x`.
///
/// # Shapes
///
/// - x, output: `[batch_size, channels, height, width]`
pub(crate) fn group_norm(layer: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(kernel) = norm::FrozenGroupNorm::new(layer, x.shape(), false)
        && let Some(output) = extension::apply(kernel, [&x])
    {
        return output;
    }
    in_f32(x, |x| layer.forward(x))
}

/// SiLU of [`group_norm`].
///
/// # Shapes
///
/// - x, output: `[batch_size, channels, height, width]`
pub(crate) fn group_norm_silu(layer: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(kernel) = norm::FrozenGroupNorm::new(layer, x.shape(), true)
        && let Some(output) = extension::apply(kernel, [&x])
    {
        return output;
    }
    in_f32(x, |x| silu(layer.forward(x)))
}

/// `layer.forward(x)`, with statistics in f32 whatever the type of `x`; `epsilon` is the layer's,
/// which burn does not show.
///
/// # Shapes
///
/// - x, output: `[batch_size, length, width]`
pub(crate) fn layer_norm(
    layer: &LayerNorm,
    #[cfg_attr(not(feature = "flex"), allow(unused_variables))] epsilon: f64,
    x: Tensor<3>,
) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(kernel) = norm::FrozenLayerNorm::new(layer, epsilon, x.shape())
        && let Some(output) = extension::apply(kernel, [&x])
    {
        return output;
    }
    in_f32(x, |x| layer.forward(x))
}

/// `function.plain(x)`; the shape stays.
pub(crate) fn activate<const D: usize>(function: Activation, x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(output) =
        extension::apply(activation::Activated { function, shape: x.shape() }, [&x])
    {
        return output;
    }
    function.plain(x)
}

/// The first half of each row of `x` times the GELU of its second half (Shazeer 2020).
///
/// # Shapes
///
/// - x: `[batch_size, length, 2 * width]`
/// - output: `[batch_size, length, width]`
pub(crate) fn gated_gelu(x: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if let Some(output) = extension::apply(activation::GatedGelu { shape: x.shape() }, [&x]) {
        return output;
    }
    let [_, _, width] = x.dims();
    let value = x.clone().narrow(2, 0, width / 2);
    let gate = x.narrow(2, width / 2, width / 2);
    value * Activation::Gelu.plain(gate)
}

/// Attention as in [`crate::attention`]; nothing where that must do it by burn's own operations.
#[cfg(feature = "flex")]
pub(crate) fn attention(
    [query, key, value]: [&Tensor<3>; 3],
    heads: usize,
    mask: Option<&Tensor<4>>,
) -> Option<Tensor<3>> {
    let [batch_size, query_length, channels] = query.dims();
    let [_, key_length, _] = key.dims();
    let mask = match mask {
        Some(mask) if mask.dims() == [1, 1, query_length, key_length] => {
            Some(extension::untracked(mask)?)
        }
        Some(_) => return None,
        None => None,
    };
    let fits = channels % heads == 0
        && key.dims() == [batch_size, key_length, channels]
        && value.dims() == key.dims()
        && [batch_size, query_length, key_length, channels].iter().all(|size| *size > 0);
    let width = channels / heads;
    let kernel = Attention { batch_size, heads, width, query_length, key_length, mask };
    fits.then(|| extension::apply(kernel, [query, key, value])).flatten()
}
