//! The residual block of the UNet and of the autoencoder (diffusers `ResnetBlock2D`).

use burn::{
    module::Module,
    nn::{GroupNorm, Linear, conv::Conv2d},
    tensor::{Device, Tensor},
};

use crate::{
    kernels::{conv2d, group_norm_silu},
    layers::{conv, group_norm, linear},
    product,
};

/// `x + conv2(silu(norm2(conv1(silu(norm1(x))) + time)))`, with a 1x1 convolution on the short
/// way where the number of channels changes.
#[derive(Module, Debug)]
pub struct ResnetBlock2D {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
}

/// What sets one residual block apart from another.
pub(crate) struct ResnetBlock2DConfig {
    pub channels_in: usize,
    pub channels_out: usize,
    /// Width of the time embedding; the autoencoder has none.
    pub time_embed_dim: Option<usize>,
    pub groups: usize,
    pub epsilon: f64,
}

impl ResnetBlock2DConfig {
    pub(crate) fn init(&self, device: &Device) -> ResnetBlock2D {
        let Self { channels_in, channels_out, groups, epsilon, .. } = *self;
        ResnetBlock2D {
            norm1: group_norm(groups, channels_in, epsilon, device),
            conv1: conv(channels_in, channels_out, 3, device),
            time_emb_proj: self.time_embed_dim.map(|dim| linear(dim, channels_out, true, device)),
            norm2: group_norm(groups, channels_out, epsilon, device),
            conv2: conv(channels_out, channels_out, 3, device),
            conv_shortcut: (channels_in != channels_out)
                .then(|| conv(channels_in, channels_out, 1, device)),
        }
    }
}

impl ResnetBlock2D {
    /// # Shapes
    ///
    /// - x: `[batch_size, channels_in, height, width]`
    /// - time_embedding: `[batch_size, time_embed_dim]`, already through SiLU; `None` in the
    ///   autoencoder
    /// - output: `[batch_size, channels_out, height, width]`
    pub(crate) fn forward(&self, x: Tensor<4>, time_embedding: Option<Tensor<2>>) -> Tensor<4> {
        let mut hidden = conv2d(&self.conv1, group_norm_silu(&self.norm1, x.clone()));
        if let (Some(projection), Some(time)) = (&self.time_emb_proj, time_embedding) {
            let time = product::linear(projection, time); // [batch_size, channels_out]
            hidden = hidden + time.unsqueeze_dims::<4>(&[2, 3]);
        }
        let hidden = conv2d(&self.conv2, group_norm_silu(&self.norm2, hidden));
        let short = match &self.conv_shortcut {
            Some(shortcut) => conv2d(shortcut, x),
            None => x,
        };
        short + hidden
    }
}
