//! The few layers that every network here is made of.

use burn::{
    module::Module,
    nn::{
        GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig,
        PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{
        Device, Tensor,
        module::interpolate,
        ops::{InterpolateMode, InterpolateOptions},
    },
};

use crate::kernels::conv2d;

pub(crate) fn linear(d_input: usize, d_output: usize, bias: bool, device: &Device) -> Linear {
    LinearConfig::new(d_input, d_output).with_bias(bias).init(device)
}

pub(crate) fn layer_norm(width: usize, epsilon: f64, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(epsilon).init(device)
}

pub(crate) fn group_norm(
    groups: usize,
    channels: usize,
    epsilon: f64,
    device: &Device,
) -> GroupNorm {
    GroupNormConfig::new(groups, channels).with_epsilon(epsilon).init(device)
}

/// A convolution that keeps height and width (`kernel` odd, stride 1).
pub(crate) fn conv(
    channels_in: usize,
    channels_out: usize,
    kernel: usize,
    device: &Device,
) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new([channels_in, channels_out], [kernel, kernel])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .init(device)
}

/// Halves height and width by a strided 3x3 convolution (diffusers `Downsample2D`).
#[derive(Module, Debug)]
pub struct Downsample2D {
    conv: Conv2d,
}

impl Downsample2D {
    /// `padding` is (top, left, bottom, right): 1 on all sides in the UNet, (0, 0, 1, 1) in the
    /// VAE's encoder.
    pub(crate) fn new(
        channels: usize,
        padding: (usize, usize, usize, usize),
        device: &Device,
    ) -> Self {
        let (top, left, bottom, right) = padding;
        let conv = Conv2dConfig::new([channels, channels], [3, 3])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
            .init(device);
        Self { conv }
    }

    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(&self.conv, x)
    }
}

/// Nearest-neighbour enlargement followed by a 3x3 convolution (diffusers `Upsample2D`).
#[derive(Module, Debug)]
pub struct Upsample2D {
    conv: Conv2d,
}

impl Upsample2D {
    pub(crate) fn new(channels: usize, device: &Device) -> Self {
        Self { conv: conv(channels, channels, 3, device) }
    }

    /// `size` is the height and width to reach: twice the input's, or the next skip connection's
    /// where an odd size was halved on the way down.
    pub(crate) fn forward(&self, x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        let nearest = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size);
        conv2d(&self.conv, interpolate(x, nearest))
    }
}
