//! A frozen convolution as an operation of burn's.

use burn::{
    backend::flex::FlexTensor,
    nn::{PaddingConfig2d, conv::Conv2d},
    tensor::Shape,
};

use super::{
    super::{
        extension::{Kernel, frozen, stored, tensor, values, widened_values},
        kept::{self, Layout, is_kept},
        spent::KernelKind,
    },
    filters::{self, Filters},
    geometry::Convolution,
    small,
    winograd::Winograd,
};

/// A convolution with its weights.
#[derive(Clone, Debug)]
pub(in crate::kernels) struct FrozenConvolution {
    sizes: Convolution,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
}

impl FrozenConvolution {
    /// Nothing if the layer is trained, lies elsewhere, or is grouped, dilated or padded to keep its
    /// size.
    pub fn new(
        layer: &Conv2d,
        [batch_size, channels_in, height, width]: [usize; 4],
    ) -> Option<Self> {
        if layer.groups != 1 || layer.dilation != [1, 1] {
            return None;
        }
        let weight = stored(&layer.weight)?;
        let bias = match &layer.bias {
            Some(bias) => Some(frozen(bias)?),
            None => None,
        };
        let [channels_out, expected, ..] = layer.weight.dims();
        let (top, left, bottom, right) = match layer.padding {
            PaddingConfig2d::Valid => (0, 0, 0, 0),
            PaddingConfig2d::Explicit(top, left, bottom, right) => (top, left, bottom, right),
            PaddingConfig2d::Same => return None,
        };
        let length = |size: usize, pads: usize, axis: usize| {
            let room = (size + pads).checked_sub(layer.kernel_size[axis])?;
            Some(room / layer.stride[axis] + 1)
        };
        let output = [length(height, top + bottom, 0)?, length(width, left + right, 1)?];
        // Inputs that do not fit are burn's to refuse.
        (expected == channels_in && batch_size * height * width > 0).then_some(Self {
            sizes: Convolution {
                batch_size,
                channels_in,
                channels_out,
                input: [height, width],
                output,
                kernel: layer.kernel_size,
                stride: layer.stride,
                padding: [top, left],
            },
            weight,
            bias,
        })
    }

    /// By Winograd's way, or by weights that are laid out once; nothing where neither fits. `reversed`,
    /// the convolution that leads back, which has these `sizes`.
    fn quickly(
        &self,
        x: &[f32],
        sizes: &Convolution,
        bias: Option<&[f32]>,
        reversed: bool,
    ) -> Option<Vec<f32>> {
        let kept = is_kept(&self.weight);
        if let Some(winograd) = Winograd::new(sizes, kept) {
            if !kept {
                let channels = [self.sizes.channels_out, self.sizes.channels_in];
                let weight = widened_values(&self.weight);
                let filters = Filters { weight: &weight, channels, reversed };
                return Some(winograd.convolve_by_channels(x, filters, bias));
            }
            let filters = kept::of(&self.weight, Layout::Filters, || {
                filters::transform(&widened_values(&self.weight), self.sizes.channels_in)
            });
            return Some(winograd.convolve(x, &filters, bias, reversed));
        }
        kept.then(|| {
            let weight = kept::of(&self.weight, Layout::Forward, || {
                small::lay_out(&widened_values(&self.weight), &self.sizes)
            });
            sizes.by_panels(x, &weight, bias, reversed)
        })
    }
}

impl Kernel<1> for FrozenConvolution {
    type State = ();

    const KIND: KernelKind = KernelKind::Convolution;

    fn operations(&self) -> usize {
        let Convolution { batch_size, channels_out, .. } = self.sizes;
        2 * batch_size * channels_out * self.sizes.pixels_out() * self.sizes.depth()
    }

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, Shape) {
        let sizes = &self.sizes;
        let bias = self.bias.as_ref().map(values);
        let output = self
            .quickly(x, sizes, bias, false)
            .unwrap_or_else(|| sizes.forward(x, &widened_values(&self.weight), bias));
        let [height, width] = sizes.output;
        (output, [sizes.batch_size, sizes.channels_out, height, width].into())
    }

    fn state(&self, _: [FlexTensor; 1]) {}

    fn backward(&self, (): (), gradient: &[f32], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let sizes = &self.sizes;
        let back = sizes.reversed();
        let back = back.and_then(|back| self.quickly(gradient, &back, None, true));
        let back = back.unwrap_or_else(|| sizes.backward(gradient, &widened_values(&self.weight)));
        let [height, width] = sizes.input;
        [Some(tensor(back, [sizes.batch_size, sizes.channels_in, height, width]))]
    }
}
