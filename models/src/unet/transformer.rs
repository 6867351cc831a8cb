//! Attention of the pixels to each other and to the text (diffusers `Transformer2DModel`).

use burn::{
    module::Module,
    nn::{GroupNorm, LayerNorm, Linear, conv::Conv2d},
    tensor::{Device, Tensor},
};

use super::UNet2DConditionConfig;
use crate::{
    attention::multi_head_attention,
    kernels::{self, conv2d, gated_gelu},
    layers::{conv, group_norm, layer_norm, linear},
    precision::widened,
    product,
};

/// The transformers' own group normalisation, whatever `norm_eps` says.
const GROUP_NORM_EPSILON: f64 = 1e-6;
const LAYER_NORM_EPSILON: f64 = 1e-5;

/// Queries from the pixels; keys and values from the pixels or from the text.
#[derive(Module, Debug)]
pub(super) struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
    /// Whether the scores of weights of a low type are computed in f32.
    upcast: bool,
    /// Whether the first token's key and value carry no gradient.
    first_token_detached: bool,
}

impl Attention {
    fn new(
        channels: usize,
        context_dim: usize,
        heads: usize,
        upcast: bool,
        device: &Device,
    ) -> Self {
        Self {
            to_q: linear(channels, channels, false, device),
            to_k: linear(context_dim, channels, false, device),
            to_v: linear(context_dim, channels, false, device),
            to_out: linear(channels, channels, true, device),
            heads,
            upcast,
            first_token_detached: false,
        }
    }

    /// # Shapes
    ///
    /// - x: `[batch_size, pixels, channels]`
    /// - context: `[batch_size, length, context_dim]`
    /// - output: the shape of `x`
    fn forward(&self, x: Tensor<3>, context: Tensor<3>) -> Tensor<3> {
        let query = product::linear(&self.to_q, x);
        let (mut key, mut value) =
            (product::linear(&self.to_k, context.clone()), product::linear(&self.to_v, context));
        if self.first_token_detached {
            (key, value) = (detach_first(key), detach_first(value));
        }
        let dtype = value.dtype();
        let inputs = [query, key, value];
        let [query, key, value] = if self.upcast { inputs.map(widened) } else { inputs };
        let attended = multi_head_attention(query, key, value, self.heads, None);
        product::linear(&self.to_out, attended.cast(dtype))
    }
}

/// The same values; those of the first token without gradient.
fn detach_first(x: Tensor<3>) -> Tensor<3> {
    let [_, length, _] = x.dims();
    let first = x.clone().narrow(1, 0, 1).detach();
    Tensor::cat(vec![first, x.narrow(1, 1, length - 1)], 1)
}

/// A linear layer whose second half gates the first by GELU, and one back (Shazeer 2020).
#[derive(Module, Debug)]
struct FeedForward {
    proj: Linear,
    out: Linear,
}

impl FeedForward {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        product::linear(&self.out, gated_gelu(product::linear(&self.proj, x)))
    }
}

#[derive(Module, Debug)]
pub(super) struct BasicTransformerBlock {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff: FeedForward,
}

impl BasicTransformerBlock {
    fn new(config: &UNet2DConditionConfig, level: usize, device: &Device) -> Self {
        let channels = config.block_out_channels[level];
        let (heads, upcast) = (config.heads(level), config.upcast_attention);
        let norm = || layer_norm(channels, LAYER_NORM_EPSILON, device);
        Self {
            norm1: norm(),
            attn1: Attention::new(channels, channels, heads, upcast, device),
            norm2: norm(),
            attn2: Attention::new(channels, config.cross_attention_dim, heads, upcast, device),
            norm3: norm(),
            ff: FeedForward {
                proj: linear(channels, 8 * channels, true, device),
                out: linear(4 * channels, channels, true, device),
            },
        }
    }

    /// Shows the layers of [`Transformer2D::projections`].
    pub(super) fn projections(&mut self, visitor: &mut dyn FnMut(&str, &mut Linear)) {
        for (name, attention) in [("attn1", &mut self.attn1), ("attn2", &mut self.attn2)] {
            visitor(&format!("{name}.to_q"), &mut attention.to_q);
            visitor(&format!("{name}.to_k"), &mut attention.to_k);
            visitor(&format!("{name}.to_v"), &mut attention.to_v);
            visitor(&format!("{name}.to_out.0"), &mut attention.to_out);
        }
        visitor("ff.net.0.proj", &mut self.ff.proj);
    }

    /// # Shapes
    ///
    /// - x, output: `[batch_size, pixels, channels]`
    /// - context: `[batch_size, length, cross_attention_dim]`
    pub(super) fn forward(&self, x: Tensor<3>, context: Tensor<3>) -> Tensor<3> {
        let norm = |layer, x| kernels::layer_norm(layer, LAYER_NORM_EPSILON, x);
        let normed = norm(&self.norm1, x.clone());
        let x = x + self.attn1.forward(normed.clone(), normed);
        let x = x.clone() + self.attn2.forward(norm(&self.norm2, x), context);
        x.clone() + self.ff.forward(norm(&self.norm3, x))
    }
}

/// SD 1 projects by 1x1 convolutions, SD 2 by linear layers: the weights' shapes differ.
#[derive(Module, Debug)]
enum Projection {
    Conv(Conv2d),
    Linear(Linear),
}

impl Projection {
    fn new(channels: usize, use_linear: bool, device: &Device) -> Self {
        if use_linear {
            Self::Linear(linear(channels, channels, true, device))
        } else {
            Self::Conv(conv(channels, channels, 1, device))
        }
    }

    /// From a picture to a list of pixels.
    fn to_pixels(&self, x: Tensor<4>) -> Tensor<3> {
        match self {
            Self::Conv(conv) => pixels(conv2d(conv, x)),
            Self::Linear(layer) => product::linear(layer, pixels(x)),
        }
    }

    /// From a list of pixels to a picture of `shape`.
    fn to_picture(&self, x: Tensor<3>, shape: [usize; 4]) -> Tensor<4> {
        match self {
            Self::Conv(conv) => conv2d(conv, x.swap_dims(1, 2).reshape(shape)),
            Self::Linear(layer) => product::linear(layer, x).swap_dims(1, 2).reshape(shape),
        }
    }
}

fn pixels(x: Tensor<4>) -> Tensor<3> {
    x.flatten::<3>(2, 3).swap_dims(1, 2)
}

/// Norm, projection, transformer blocks, projection, added to the input.
#[derive(Module, Debug)]
pub(super) struct Transformer2D {
    norm: GroupNorm,
    proj_in: Projection,
    transformer_blocks: Vec<BasicTransformerBlock>,
    proj_out: Projection,
}

impl Transformer2D {
    pub(super) fn new(config: &UNet2DConditionConfig, level: usize, device: &Device) -> Self {
        let channels = config.block_out_channels[level];
        let projection = || Projection::new(channels, config.use_linear_projection, device);
        Self {
            norm: group_norm(config.norm_num_groups, channels, GROUP_NORM_EPSILON, device),
            proj_in: projection(),
            transformer_blocks: (0..config.transformer_layers(level))
                .map(|_| BasicTransformerBlock::new(config, level, device))
                .collect(),
            proj_out: projection(),
        }
    }

    /// Shows every linear layer that projects queries, keys, values, their output, or the gated
    /// input of a feed-forward layer, under its name in diffusers.
    pub(super) fn projections(&mut self, visitor: &mut dyn FnMut(&str, &mut Linear)) {
        for (i, block) in self.transformer_blocks.iter_mut().enumerate() {
            block.projections(&mut |name, linear| {
                visitor(&format!("transformer_blocks.{i}.{name}"), linear);
            });
        }
    }

    /// How many transformer blocks there are.
    #[cfg(all(feature = "extension", feature = "autodiff"))]
    pub(super) fn depth(&self) -> usize {
        self.transformer_blocks.len()
    }

    /// From here on, keys and values of a text's first token carry no gradient.
    pub(super) fn detach_first_token(&mut self) {
        for block in &mut self.transformer_blocks {
            block.attn2.first_token_detached = true;
        }
    }

    /// # Shapes
    ///
    /// - x: `[batch_size, channels, height, width]`
    /// - context: `[batch_size, length, cross_attention_dim]`
    /// - output: the shape of `x`
    pub(super) fn forward(&self, x: Tensor<4>, context: Tensor<3>) -> Tensor<4> {
        self.forward_by(x, |block, hidden| block.forward(hidden, context.clone()))
    }

    /// The same, where `apply` makes each block's output from its input.
    pub(super) fn forward_by(
        &self,
        x: Tensor<4>,
        apply: impl Fn(&BasicTransformerBlock, Tensor<3>) -> Tensor<3>,
    ) -> Tensor<4> {
        let shape = x.dims();
        let hidden = self.proj_in.to_pixels(kernels::group_norm(&self.norm, x.clone()));
        let blocks = self.transformer_blocks.iter();
        let hidden = blocks.fold(hidden, |hidden, block| apply(block, hidden));
        x + self.proj_out.to_picture(hidden, shape)
    }
}
