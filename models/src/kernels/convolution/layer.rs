//! A frozen convolution as an operation of burn's.

use burn::{
    backend::flex::FlexTensor,
    nn::{PaddingConfig2d, conv::Conv2d},
    tensor::Shape,
};

use super::{
    super::extension::{Kernel, frozen, stored, tensor, values, widened_values},
    geometry::Convolution,
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
}

impl Kernel<1> for FrozenConvolution {
    type State = ();

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, Shape) {
        let sizes = &self.sizes;
        let weight = widened_values(&self.weight);
        let output = sizes.forward(x, &weight, self.bias.as_ref().map(values));
        let [height, width] = sizes.output;
        (output, [sizes.batch_size, sizes.channels_out, height, width].into())
    }

    fn state(&self, _: [FlexTensor; 1]) {}

    fn backward(&self, (): (), gradient: &[f32], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let sizes = &self.sizes;
        let [height, width] = sizes.input;
        let gradient = sizes.backward(gradient, &widened_values(&self.weight));
        [Some(tensor(gradient, [sizes.batch_size, sizes.channels_in, height, width]))]
    }
}
