//! Down, middle, up.

#[cfg(feature = "flex")]
use std::ops::Range;

use burn::{
    module::Module,
    nn::{GroupNorm, conv::Conv2d},
    tensor::{DType, Device, Tensor},
};

use super::{
    TimeIds, UNet2DConditionConfig,
    blocks::{DownBlock2D, MidBlock2D, UpBlock2D},
    conditioning::{AddedConditioning, Conditioning},
    embeddings::{TimestepEmbedding, time_proj},
    given::Given,
};
#[cfg(feature = "flex")]
use crate::kernels;
use crate::{
    Activation,
    kernels::{activate, conv2d, group_norm_silu},
    layers::{conv, group_norm},
    precision::widened,
    weights::{KeyMap, Network},
};

/// Predicts the noise (or the velocity) in latents, given the time step and what is told of a text.
/// Created by [`UNet2DConditionConfig::init`].
#[derive(Module, Debug)]
pub struct UNet2DConditionModel {
    time_embedding: TimestepEmbedding,
    add_embedding: Option<TimestepEmbedding>,
    conv_in: Conv2d,
    pub(super) down_blocks: Vec<DownBlock2D>,
    pub(super) mid_block: MidBlock2D,
    pub(super) up_blocks: Vec<UpBlock2D>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    config: UNet2DConditionConfig,
    gradient_checkpointing: bool,
}

/// A forward pass up to where the text enters, by [`UNet2DConditionModel::stem`].
#[derive(Clone, Debug)]
pub struct UNetPrefix {
    /// `[batch_size, time_embed_dim]`, before SiLU.
    time: Tensor<2>,
    x: Tensor<4>,
    /// What the way up takes.
    skips: Vec<Tensor<4>>,
}

impl UNetPrefix {
    /// Of each input so many times, all of them first and then all again: for several texts each.
    #[must_use]
    pub fn repeated(&self, times: usize) -> Self {
        let repeated = |x: &Tensor<4>| Tensor::cat(vec![x.clone(); times], 0);
        Self {
            time: Tensor::cat(vec![self.time.clone(); times], 0),
            x: repeated(&self.x),
            skips: self.skips.iter().map(repeated).collect(),
        }
    }
}

#[cfg(feature = "flex")]
impl UNetPrefix {
    pub(super) fn batch_size(&self) -> usize {
        self.x.dims()[0]
    }

    /// That of some inputs.
    pub(super) fn narrow(&self, inputs: Range<usize>) -> Self {
        let (first, count) = (inputs.start, inputs.len());
        let narrow = |x: &Tensor<4>| x.clone().narrow(0, first, count);
        Self {
            time: self.time.clone().narrow(0, first, count),
            x: narrow(&self.x),
            skips: self.skips.iter().map(narrow).collect(),
        }
    }
}

impl Network for UNet2DConditionModel {
    const KEYS: KeyMap = KeyMap {
        renames: &[
            (r"\.to_out\.0\.", ".to_out."),
            (r"\.ff\.net\.0\.proj\.", ".ff.proj."),
            (r"\.ff\.net\.2\.", ".ff.out."),
        ],
        originals: &[
            (".to_out.", ".to_out.0."),
            (".ff.proj.", ".ff.net.0.proj."),
            (".ff.out.", ".ff.net.2."),
        ],
        unused: &[],
    };
}

impl UNet2DConditionConfig {
    /// Builds the network with weights yet to be loaded.
    pub fn init(&self, device: &Device) -> UNet2DConditionModel {
        let finest = self.block_out_channels[0];
        let levels = 0..self.block_out_channels.len();
        UNet2DConditionModel {
            time_embedding: TimestepEmbedding::new(finest, self.time_embed_dim(), device),
            add_embedding: self.added_widths().map(|widths| {
                TimestepEmbedding::new(widths.total(), self.time_embed_dim(), device)
            }),
            conv_in: conv(self.in_channels, finest, 3, device),
            down_blocks: levels.clone().map(|l| DownBlock2D::new(self, l, device)).collect(),
            mid_block: MidBlock2D::new(self, device),
            up_blocks: levels.map(|p| UpBlock2D::new(self, p, device)).collect(),
            conv_norm_out: group_norm(self.norm_num_groups, finest, self.norm_eps, device),
            conv_out: conv(finest, self.out_channels, 3, device),
            config: self.clone(),
            gradient_checkpointing: false,
        }
    }
}

impl UNet2DConditionModel {
    /// The same network, whose backward pass computes each residual block and transformer again
    /// from its input: less memory, the same gradients, about a third more time (diffusers'
    /// `enable_gradient_checkpointing`).
    #[must_use]
    pub fn with_gradient_checkpointing(self) -> Self {
        Self { gradient_checkpointing: true, ..self }
    }

    /// What [`forward`](Self::forward) computes before the text enters: worth keeping where the
    /// same latents meet other texts. With SDXL the text enters early, with the time. Trained weights,
    /// see [`projections`](Self::projections), do not enter it either.
    ///
    /// # Shapes
    ///
    /// As [`forward`](Self::forward)'s.
    ///
    /// # Panics
    ///
    /// If the shapes are others.
    pub fn stem(&self, sample: Tensor<4>, timesteps: &[f64]) -> UNetPrefix {
        assert_eq!(sample.dims()[0], timesteps.len(), "one time step for each sample");
        let device = sample.device().inner();
        let dtype = self.dtype();
        let width = self.config.block_out_channels[0];
        let sinusoids = time_proj(&self.config, width, timesteps, &device).cast(dtype);
        let time = self.time_embedding.forward(sinusoids);
        let mut x = conv2d(&self.conv_in, sample.cast(dtype));
        let mut skips = vec![x.clone()];
        if let Some(first) = self.first_with_text() {
            let time = activate(Activation::Silu, time.clone());
            for block in &self.down_blocks[..=first] {
                x = block.before_text_enters(
                    x,
                    |resnet, x| resnet.forward(x, Some(time.clone())),
                    &mut skips,
                );
            }
        }
        UNetPrefix { time, x, skips }
    }

    /// [`forward_from`](Self::forward_from) of all inputs at once.
    pub(super) fn forward_whole(
        &self,
        stem: &UNetPrefix,
        Conditioning { hidden_states, added }: Conditioning,
    ) -> Tensor<4> {
        let given = Given {
            time: activate(Activation::Silu, self.time(stem.time.clone(), added)),
            text: hidden_states.cast(self.dtype()),
            gradient_checkpointing: self.gradient_checkpointing,
        };
        let (mut x, mut skips) = (stem.x.clone(), stem.skips.clone());
        let below = match self.first_with_text() {
            Some(first) => {
                x = self.down_blocks[first].after_text_enters(x, &given, &mut skips);
                &self.down_blocks[first + 1..]
            }
            None => &self.down_blocks[..],
        };
        let x = below.iter().fold(x, |x, block| block.forward(x, &given, &mut skips));
        let x = self.mid_block.forward(x, &given);
        let x = self.up_blocks.iter().fold(x, |x, block| block.forward(x, &given, &mut skips));
        widened(conv2d(&self.conv_out, group_norm_silu(&self.conv_norm_out, x)))
    }

    /// Residual blocks of a level on the way down.
    pub fn layers_per_block(&self) -> usize {
        self.config.layers_per_block
    }

    /// Whether every layer is one that our kernels compute, with weights that are laid out once.
    #[cfg(feature = "flex")]
    pub(super) fn is_small(&self) -> bool {
        let widest = self.config.block_out_channels.iter().max().copied().unwrap_or_default();
        // the way up takes two levels' channels at once; the text may be wider, and what is added to
        // the time
        let text = widest * self.config.cross_attention_dim;
        let added = self.config.added_widths().map_or(0, |widths| widths.total());
        let layer = (2 * 9 * widest.pow(2)).max(text).max(added * self.config.time_embed_dim());
        self.dtype() == DType::F32 && kernels::is_small(layer)
    }

    /// The type it computes in.
    fn dtype(&self) -> DType {
        self.conv_in.weight.dtype()
    }

    /// The first block on the way down that attends to the text, or the last one; none where all of
    /// them are told of the text with the time.
    fn first_with_text(&self) -> Option<usize> {
        if self.add_embedding.is_some() {
            return None;
        }
        let found = self.down_blocks.iter().position(|block| !block.attentions.is_empty());
        Some(found.unwrap_or(self.down_blocks.len() - 1))
    }

    /// The time embedding with what SDXL adds to it.
    fn time(&self, time: Tensor<2>, added: Option<AddedConditioning>) -> Tensor<2> {
        let Some((embedding, widths)) = self.add_embedding.as_ref().zip(self.config.added_widths())
        else {
            return time;
        };
        let AddedConditioning { text_embeds, time_ids } =
            added.expect("this network is told a pooled state and sizes");
        let sizes: Vec<f64> = time_ids.iter().flat_map(|ids| ids.0).map(f64::from).collect();
        let device = text_embeds.device().inner();
        let sizes = time_proj(&self.config, widths.size, &sizes, &device);
        let sizes = sizes.reshape([time_ids.len(), TimeIds::COUNT * widths.size]);
        let added = Tensor::cat(vec![text_embeds, sizes], 1).cast(self.dtype());
        time + embedding.forward(added)
    }
}
