//! The levels of the UNet (diffusers `unet_2d_blocks`).

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};

use super::{UNet2DConditionConfig, UpDownBlock, given::Given, transformer::Transformer2D};
use crate::{
    layers::{Downsample2D, Upsample2D},
    resnet::{ResnetBlock2D, ResnetBlock2DConfig},
};

fn resnet(
    config: &UNet2DConditionConfig,
    channels_in: usize,
    channels_out: usize,
    device: &Device,
) -> ResnetBlock2D {
    ResnetBlock2DConfig {
        channels_in,
        channels_out,
        time_embed_dim: Some(config.time_embed_dim()),
        groups: config.norm_num_groups,
        epsilon: config.norm_eps,
    }
    .init(device)
}

fn transformers(
    config: &UNet2DConditionConfig,
    kind: UpDownBlock,
    level: usize,
    count: usize,
    device: &Device,
) -> Vec<Transformer2D> {
    match kind {
        UpDownBlock::Plain => Vec::new(),
        UpDownBlock::CrossAttention => {
            (0..count).map(|_| Transformer2D::new(config, level, device)).collect()
        }
    }
}

/// `DownBlock2D` and, with attentions, `CrossAttnDownBlock2D`.
#[derive(Module, Debug)]
pub(super) struct DownBlock2D {
    resnets: Vec<ResnetBlock2D>,
    pub(super) attentions: Vec<Transformer2D>,
    downsamplers: Vec<Downsample2D>,
}

impl DownBlock2D {
    pub(super) fn new(config: &UNet2DConditionConfig, level: usize, device: &Device) -> Self {
        let channels = &config.block_out_channels;
        let (channels_in, channels_out) = (channels[level.saturating_sub(1)], channels[level]);
        let layers = config.layers_per_block;
        let last = level + 1 == channels.len();
        Self {
            resnets: (0..layers)
                .map(|i| {
                    resnet(
                        config,
                        if i == 0 { channels_in } else { channels_out },
                        channels_out,
                        device,
                    )
                })
                .collect(),
            attentions: transformers(config, config.down_block_types[level], level, layers, device),
            downsamplers: (0..usize::from(!last))
                .map(|_| Downsample2D::new(channels_out, (1, 1, 1, 1), device))
                .collect(),
        }
    }

    /// Every layer's output is also pushed to `skips`, for the way up.
    pub(super) fn forward(
        &self,
        x: Tensor<4>,
        given: &Given,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        let x = self.before_text_enters(x, |resnet, x| given.resnet(resnet, x), skips);
        self.after_text_enters(x, given, skips)
    }

    /// Up to the first transformer; all of a block that has none.
    pub(super) fn before_text_enters(
        &self,
        mut x: Tensor<4>,
        apply: impl Fn(&ResnetBlock2D, Tensor<4>) -> Tensor<4>,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for resnet in &self.resnets {
            x = apply(resnet, x);
            if !self.attentions.is_empty() {
                return x;
            }
            skips.push(x.clone());
        }
        self.downsample(x, skips)
    }

    /// The rest.
    pub(super) fn after_text_enters(
        &self,
        mut x: Tensor<4>,
        given: &Given,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        if self.attentions.is_empty() {
            return x;
        }
        for (i, (resnet, attention)) in self.resnets.iter().zip(&self.attentions).enumerate() {
            if i > 0 {
                x = given.resnet(resnet, x);
            }
            x = given.transformer(attention, x);
            skips.push(x.clone());
        }
        self.downsample(x, skips)
    }

    fn downsample(&self, mut x: Tensor<4>, skips: &mut Vec<Tensor<4>>) -> Tensor<4> {
        for downsampler in &self.downsamplers {
            x = downsampler.forward(x);
            skips.push(x.clone());
        }
        x
    }
}

/// `UNetMidBlock2DCrossAttn`: resnet, transformer, resnet at the coarsest level.
#[derive(Module, Debug)]
pub(super) struct MidBlock2D {
    resnets: Vec<ResnetBlock2D>,
    pub(super) attentions: Vec<Transformer2D>,
}

impl MidBlock2D {
    pub(super) fn new(config: &UNet2DConditionConfig, device: &Device) -> Self {
        let level = config.block_out_channels.len() - 1;
        let channels = config.block_out_channels[level];
        Self {
            resnets: (0..2).map(|_| resnet(config, channels, channels, device)).collect(),
            attentions: transformers(config, UpDownBlock::CrossAttention, level, 1, device),
        }
    }

    pub(super) fn forward(&self, mut x: Tensor<4>, given: &Given) -> Tensor<4> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            x = given.resnet(resnet, x);
            if let Some(attention) = self.attentions.get(i) {
                x = given.transformer(attention, x);
            }
        }
        x
    }
}

/// `UpBlock2D` and, with attentions, `CrossAttnUpBlock2D`.
#[derive(Module, Debug)]
pub(super) struct UpBlock2D {
    resnets: Vec<ResnetBlock2D>,
    pub(super) attentions: Vec<Transformer2D>,
    upsamplers: Vec<Upsample2D>,
}

impl UpBlock2D {
    /// `position` counts from the coarsest level.
    pub(super) fn new(config: &UNet2DConditionConfig, position: usize, device: &Device) -> Self {
        let channels = &config.block_out_channels;
        let level = channels.len() - 1 - position;
        let layers = config.layers_per_block + 1;
        let channels_out = channels[level];
        let from_below = channels[(level + 1).min(channels.len() - 1)];
        // The last skip of a level comes from before its first resnet: the finer level's width.
        let finer = channels[level.saturating_sub(1)];
        let channels_in = |i: usize| {
            let x = if i == 0 { from_below } else { channels_out };
            let skip = if i + 1 == layers { finer } else { channels_out };
            x + skip
        };
        Self {
            resnets: (0..layers)
                .map(|i| resnet(config, channels_in(i), channels_out, device))
                .collect(),
            attentions: transformers(
                config,
                config.up_block_types[position],
                level,
                layers,
                device,
            ),
            upsamplers: (0..usize::from(level > 0))
                .map(|_| Upsample2D::new(channels_out, device))
                .collect(),
        }
    }

    /// Takes its skips from the end of `skips`.
    pub(super) fn forward(
        &self,
        mut x: Tensor<4>,
        given: &Given,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            if let Some(skip) = skips.pop() {
                x = Tensor::cat(vec![x, skip], 1);
            }
            x = given.resnet(resnet, x);
            if let Some(attention) = self.attentions.get(i) {
                x = given.transformer(attention, x);
            }
        }
        for upsampler in &self.upsamplers {
            let [_, _, height, width] = x.dims();
            let size = skips.last().map_or([2 * height, 2 * width], |skip| {
                let [_, _, height, width] = skip.dims();
                [height, width]
            });
            x = upsampler.forward(x, size);
        }
        x
    }
}
