//! Levels of the autoencoder: resnets, the attention in the middle, and changes of resolution.

use burn::{
    module::Module,
    nn::{GroupNorm, Linear},
    tensor::{Device, Tensor},
};

use super::AutoencoderKlConfig;
use crate::{
    attention::self_attention,
    kernels,
    layers::{Downsample2D, Upsample2D, group_norm, linear},
    resnet::{ResnetBlock2D, ResnetBlock2DConfig},
};

/// Every norm of the autoencoder, in diffusers as in CompVis' code.
pub(super) const EPSILON: f64 = 1e-6;

fn resnet(
    config: &AutoencoderKlConfig,
    channels_in: usize,
    channels_out: usize,
    device: &Device,
) -> ResnetBlock2D {
    let groups = config.norm_num_groups;
    ResnetBlock2DConfig {
        channels_in,
        channels_out,
        time_embed_dim: None,
        groups,
        epsilon: EPSILON,
    }
    .init(device)
}

/// The resnets of a level, of which the first alone changes the number of channels.
fn resnets(
    config: &AutoencoderKlConfig,
    count: usize,
    channels_in: usize,
    channels_out: usize,
    device: &Device,
) -> Vec<ResnetBlock2D> {
    (0..count)
        .map(|i| {
            let channels_in = if i == 0 { channels_in } else { channels_out };
            resnet(config, channels_in, channels_out, device)
        })
        .collect()
}

/// Self-attention of one head over all pixels, added to its input.
#[derive(Module, Debug)]
pub(super) struct SpatialAttention {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
}

impl SpatialAttention {
    fn new(config: &AutoencoderKlConfig, channels: usize, device: &Device) -> Self {
        let projection = || linear(channels, channels, true, device);
        Self {
            group_norm: group_norm(config.norm_num_groups, channels, EPSILON, device),
            to_q: projection(),
            to_k: projection(),
            to_v: projection(),
            to_out: projection(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch_size, channels, height, width] = x.dims();
        let pixels = kernels::group_norm(&self.group_norm, x.clone());
        let pixels = pixels.reshape([batch_size, channels, height * width]).swap_dims(1, 2);
        let Self { to_q, to_k, to_v, to_out, .. } = self;
        let attended = self_attention([to_q, to_k, to_v, to_out], pixels, 1, None);
        x + attended.swap_dims(1, 2).reshape([batch_size, channels, height, width])
    }
}

/// Resnet, attention, resnet at the coarsest level.
#[derive(Module, Debug)]
pub(super) struct MidBlock {
    resnets: Vec<ResnetBlock2D>,
    attentions: Vec<SpatialAttention>,
}

impl MidBlock {
    pub(super) fn new(config: &AutoencoderKlConfig, channels: usize, device: &Device) -> Self {
        let attentions = usize::from(config.mid_block_add_attention);
        Self {
            resnets: (0..2).map(|_| resnet(config, channels, channels, device)).collect(),
            attentions: (0..attentions)
                .map(|_| SpatialAttention::new(config, channels, device))
                .collect(),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [first, second] = [&self.resnets[0], &self.resnets[1]];
        let x = first.forward(x, None);
        let x = self.attentions.iter().fold(x, |x, attention| attention.forward(x));
        second.forward(x, None)
    }
}

/// One level of the encoder (`DownEncoderBlock2D`).
#[derive(Module, Debug)]
pub(super) struct DownEncoderBlock2D {
    resnets: Vec<ResnetBlock2D>,
    downsamplers: Vec<Downsample2D>,
}

impl DownEncoderBlock2D {
    pub(super) fn new(config: &AutoencoderKlConfig, level: usize, device: &Device) -> Self {
        let channels = &config.block_out_channels;
        let (channels_in, channels_out) = (channels[level.saturating_sub(1)], channels[level]);
        let last = level + 1 == channels.len();
        Self {
            resnets: resnets(config, config.layers_per_block, channels_in, channels_out, device),
            downsamplers: (0..usize::from(!last))
                .map(|_| Downsample2D::new(channels_out, (0, 0, 1, 1), device))
                .collect(),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.resnets.iter().fold(x, |x, resnet| resnet.forward(x, None));
        self.downsamplers.iter().fold(x, |x, downsampler| downsampler.forward(x))
    }
}

/// One level of the decoder (`UpDecoderBlock2D`); `level` counts from the coarsest.
#[derive(Module, Debug)]
pub(super) struct UpDecoderBlock2D {
    resnets: Vec<ResnetBlock2D>,
    upsamplers: Vec<Upsample2D>,
}

impl UpDecoderBlock2D {
    pub(super) fn new(config: &AutoencoderKlConfig, level: usize, device: &Device) -> Self {
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let (channels_in, channels_out) = (channels[level.saturating_sub(1)], channels[level]);
        let layers = config.layers_per_block + 1;
        let last = level + 1 == channels.len();
        Self {
            resnets: resnets(config, layers, channels_in, channels_out, device),
            upsamplers: (0..usize::from(!last))
                .map(|_| Upsample2D::new(channels_out, device))
                .collect(),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.resnets.iter().fold(x, |x, resnet| resnet.forward(x, None));
        self.upsamplers.iter().fold(x, |x, upsampler| {
            let [_, _, height, width] = x.dims();
            upsampler.forward(x, [2 * height, 2 * width])
        })
    }
}
