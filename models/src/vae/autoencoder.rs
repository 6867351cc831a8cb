//! Encoder, decoder and the Gaussian between them.

use burn::{
    module::Module,
    nn::{GroupNorm, conv::Conv2d},
    tensor::{Device, Tensor},
};

use super::{
    AutoencoderKlConfig,
    blocks::{DownEncoderBlock2D, EPSILON, MidBlock, UpDecoderBlock2D},
};
use crate::{
    kernels::{conv2d, group_norm_silu},
    layers::{conv, group_norm},
    weights::{KeyMap, Network},
};

#[derive(Module, Debug)]
struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<DownEncoderBlock2D>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

#[derive(Module, Debug)]
struct Decoder {
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<UpDecoderBlock2D>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// Pictures to latents and back. Created by [`AutoencoderKlConfig::init`].
#[derive(Module, Debug)]
pub struct AutoencoderKl {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
    /// What latents are multiplied with before diffusion.
    pub scaling_factor: f64,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// How many picture pixels one latent pixel stands for along a side.
    pub downscale: usize,
}

/// The diagonal Gaussian that the encoder gives for a picture.
#[derive(Clone, Debug)]
pub struct Moments {
    /// `[batch_size, latent_channels, height, width]`
    pub mean: Tensor<4>,
    /// Logarithm of the variance, clamped to [-30, 20]; the shape of `mean`.
    pub logvar: Tensor<4>,
}

impl Moments {
    /// Standard deviation, the shape of `mean`.
    pub fn std(&self) -> Tensor<4> {
        self.logvar.clone().mul_scalar(0.5).exp()
    }
}

/// The first four are the attention of autoencoders saved before diffusers 0.18, which is how Stable
/// Diffusion 1.5's and LDM's were published.
impl Network for AutoencoderKl {
    const KEYS: KeyMap = KeyMap {
        renames: &[
            (r"\.attentions\.0\.query\.", ".attentions.0.to_q."),
            (r"\.attentions\.0\.key\.", ".attentions.0.to_k."),
            (r"\.attentions\.0\.value\.", ".attentions.0.to_v."),
            (r"\.attentions\.0\.proj_attn\.", ".attentions.0.to_out."),
            (r"\.to_out\.0\.", ".to_out."),
        ],
        originals: &[(".to_out.", ".to_out.0.")],
        unused: &[],
    };
}

impl AutoencoderKlConfig {
    /// Builds the network with weights yet to be loaded.
    pub fn init(&self, device: &Device) -> AutoencoderKl {
        let (finest, coarsest) =
            (self.block_out_channels[0], *self.block_out_channels.last().unwrap_or(&0));
        let levels = 0..self.block_out_channels.len();
        let latent = self.latent_channels;
        AutoencoderKl {
            encoder: Encoder {
                conv_in: conv(self.in_channels, finest, 3, device),
                down_blocks: levels
                    .clone()
                    .map(|l| DownEncoderBlock2D::new(self, l, device))
                    .collect(),
                mid_block: MidBlock::new(self, coarsest, device),
                conv_norm_out: group_norm(self.norm_num_groups, coarsest, EPSILON, device),
                conv_out: conv(coarsest, 2 * latent, 3, device),
            },
            decoder: Decoder {
                conv_in: conv(latent, coarsest, 3, device),
                mid_block: MidBlock::new(self, coarsest, device),
                up_blocks: levels.map(|l| UpDecoderBlock2D::new(self, l, device)).collect(),
                conv_norm_out: group_norm(self.norm_num_groups, finest, EPSILON, device),
                conv_out: conv(finest, self.out_channels, 3, device),
            },
            quant_conv: self.use_quant_conv.then(|| conv(2 * latent, 2 * latent, 1, device)),
            post_quant_conv: self.use_post_quant_conv.then(|| conv(latent, latent, 1, device)),
            scaling_factor: self.scaling_factor,
            latent_channels: latent,
            downscale: self.downscale(),
        }
    }
}

impl AutoencoderKl {
    /// Mean and log-variance, as the encoder gives them (before clamping), side by side.
    ///
    /// # Shapes
    ///
    /// - pixels: `[batch_size, 3, height, width]` in [-1, 1]
    /// - output: `[batch_size, 2 * latent_channels, height / downscale, width / downscale]`
    pub fn encode_moments(&self, pixels: Tensor<4>) -> Tensor<4> {
        let encoder = &self.encoder;
        let x = conv2d(&encoder.conv_in, pixels);
        let x = encoder.down_blocks.iter().fold(x, |x, block| block.forward(x));
        let x = encoder.mid_block.forward(x);
        let x = conv2d(&encoder.conv_out, group_norm_silu(&encoder.conv_norm_out, x));
        match &self.quant_conv {
            Some(conv) => conv2d(conv, x),
            None => x,
        }
    }

    /// The Gaussian of each picture, before the scaling factor.
    ///
    /// # Shapes
    ///
    /// - pixels: `[batch_size, 3, height, width]` in [-1, 1]
    pub fn encode(&self, pixels: Tensor<4>) -> Moments {
        let moments = self.encode_moments(pixels);
        let channels = self.latent_channels;
        Moments {
            mean: moments.clone().narrow(1, 0, channels),
            logvar: moments.narrow(1, channels, channels).clamp(-30.0, 20.0),
        }
    }

    /// Pictures from latents that were divided by the scaling factor.
    ///
    /// # Shapes
    ///
    /// - latents: `[batch_size, latent_channels, height, width]`
    /// - output: `[batch_size, 3, height * downscale, width * downscale]`, about [-1, 1]
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        let decoder = &self.decoder;
        let x = match &self.post_quant_conv {
            Some(conv) => conv2d(conv, latents),
            None => latents,
        };
        let x = decoder.mid_block.forward(conv2d(&decoder.conv_in, x));
        let x = decoder.up_blocks.iter().fold(x, |x, block| block.forward(x));
        conv2d(&decoder.conv_out, group_norm_silu(&decoder.conv_norm_out, x))
    }
}
