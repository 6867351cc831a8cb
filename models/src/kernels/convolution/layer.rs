//! Convolution of pictures by frozen weights: patches gathered as columns of a matrix, one product
//! of matrices.

use burn::{
    backend::flex::FlexTensor,
    nn::{PaddingConfig2d, conv::Conv2d},
    tensor::Shape,
};

use super::{
    extension::{Kernel, frozen, stored, tensor, values, widened_values},
    matrix::{Matrix, multiply},
    parallel::{self, with_scratch},
    winograd::{self, Winograd},
};

/// The sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    pub batch_size: usize,
    pub channels_in: usize,
    pub channels_out: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Above and left of the input.
    pub padding: [usize; 2],
}

/// How many values a block of columns may have: 512 KiB, about what a core's own cache holds.
const BLOCK: usize = 1 << 17;
/// Fewer columns than this leave a product's inner loop short.
const COLUMNS: usize = 64;

impl Convolution {
    pub(super) fn pixels_in(&self) -> usize {
        self.input[0] * self.input[1]
    }

    fn pixels_out(&self) -> usize {
        self.output[0] * self.output[1]
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The length of one column: the values that one output pixel is made of.
    fn depth(&self) -> usize {
        self.channels_in * self.taps()
    }

    /// # Shapes
    ///
    /// - x: `[batch_size, channels_in, height, width]`
    /// - weight: `[channels_out, channels_in, kernel, kernel]`
    /// - bias: `[channels_out]`
    /// - output: `[batch_size, channels_out, height_out, width_out]`
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        if let Some(winograd) = Winograd::new(self) {
            let filters = winograd::transform(weight, self.channels_in);
            return winograd.convolve(x, &filters, false, bias);
        }
        let (depth, width) = (self.depth(), self.output[1].max(1));
        // Rows of output pixels, over all pictures.
        let all_rows = self.batch_size * self.output[0];
        let rows = (BLOCK / depth.max(1)).max(COLUMNS).div_ceil(width);
        let weight = Matrix::new(weight, self.channels_out, depth);
        let cost = self.channels_out * depth * rows * width;
        let blocks = parallel::map(all_rows.div_ceil(rows), cost, |block| {
            let rows = block * rows..all_rows.min((block + 1) * rows);
            let columns = rows.len() * width;
            let mut product = vec![0.0; self.channels_out * columns];
            with_scratch(depth * columns, |patches| {
                self.gather(x, rows, patches);
                let patches = Matrix::new(patches, depth, columns);
                multiply(&mut product, columns, weight, patches, 1.0, false);
            });
            product
        });
        Rows { channels: self.channels_out, size: self.output, rows, blocks }
            .join(self.batch_size, bias)
    }

    /// The gradient of the input, `[batch_size, channels_in, height, width]`, given the output's.
    pub fn backward(&self, gradient: &[f32], weight: &[f32]) -> Vec<f32> {
        if let Some(winograd) = Winograd::new(&self.reversed()) {
            let filters = winograd::transform(weight, self.channels_in);
            return winograd.convolve(gradient, &filters, true, None);
        }
        let (depth, pixels, taps) = (self.depth(), self.pixels_out(), self.taps());
        // Small pictures are taken together; then the gradient of a channel lies in one piece.
        let together = COLUMNS.div_ceil(pixels.max(1)).min(self.batch_size.max(1));
        let groups = self.batch_size.div_ceil(together);
        let channels = (BLOCK / (taps * together * pixels).max(1)).clamp(8, 64);
        let channel_blocks = self.channels_in.div_ceil(channels);
        let run_rows = (BLOCK / (channels * taps * together * self.output[1]).max(1)).max(1);
        let run_rows = run_rows.min(self.output[0]);
        let cost = channels * taps * self.channels_out * together * pixels;
        let blocks = parallel::map(groups * channel_blocks, cost, |block| {
            let (group, channel) = (block / channel_blocks, block % channel_blocks * channels);
            let pictures = group * together..self.batch_size.min((group + 1) * together);
            let channels = channel..self.channels_in.min(channel + channels);
            self.backward_block(gradient, weight, pictures, channels, run_rows, depth)
        });
        let pixels_in = self.pixels_in();
        let mut output = vec![0.0; self.batch_size * self.channels_in * pixels_in];
        parallel::for_each_piece(&mut output, pixels_in, 1, |plane, output| {
            let (picture, channel) = (plane / self.channels_in, plane % self.channels_in);
            let block = &blocks[picture / together * channel_blocks + channel / channels];
            let block_channels = channels.min(self.channels_in - channel / channels * channels);
            let inside = picture % together * block_channels + channel % channels;
            output.copy_from_slice(&block[inside * pixels_in..][..pixels_in]);
        });
        output
    }

    /// The sizes of the convolution that leads back, where the stride is 1.
    fn reversed(&self) -> Self {
        let padding = [0, 1].map(|axis| (self.kernel[axis] - 1).saturating_sub(self.padding[axis]));
        Self {
            channels_in: self.channels_out,
            channels_out: self.channels_in,
            input: self.output,
            output: self.input,
            padding,
            ..*self
        }
    }

    /// The input's gradient for some pictures and channels: `[pictures, channels, height, width]`.
    fn backward_block(
        &self,
        gradient: &[f32],
        weight: &[f32],
        pictures: std::ops::Range<usize>,
        channels: std::ops::Range<usize>,
        run_rows: usize,
        depth: usize,
    ) -> Vec<f32> {
        let (taps, pixels, width) = (self.taps(), self.pixels_out(), self.output[1]);
        let weight = Matrix {
            values: &weight[channels.start * taps..],
            rows: self.channels_out,
            columns: channels.len() * taps,
            row_stride: depth,
            column_stride: 1,
        }
        .transpose();
        let mut output = vec![0.0; pictures.len() * channels.len() * self.pixels_in()];
        let mut gathered = Vec::new();
        with_scratch(weight.rows * pictures.len() * run_rows * width, |patches| {
            for first in (0..self.output[0]).step_by(run_rows.max(1)) {
                let rows = first..self.output[0].min(first + run_rows);
                let run = rows.len() * width;
                let columns = pictures.len() * run;
                let gradient = if pictures.len() == 1 {
                    let start = pictures.start * self.channels_out * pixels + first * width;
                    Matrix::strided(&gradient[start..], self.channels_out, run, pixels)
                } else {
                    gathered.clear();
                    for channel in 0..self.channels_out {
                        for picture in pictures.clone() {
                            let start = (picture * self.channels_out + channel) * pixels;
                            gathered.extend_from_slice(&gradient[start + first * width..][..run]);
                        }
                    }
                    Matrix::new(&gathered, self.channels_out, columns)
                };
                let patches = &mut patches[..weight.rows * columns];
                multiply(patches, columns, weight, gradient, 1.0, false);
                for (i, patch) in patches.chunks_exact_mut(columns.max(1)).enumerate() {
                    let (channel, tap) = (i / taps, i % taps);
                    for (picture, patch) in patch.chunks_exact_mut(run.max(1)).enumerate() {
                        let plane = picture * channels.len() + channel;
                        let plane = &mut output[plane * self.pixels_in()..][..self.pixels_in()];
                        self.scatter_plane(patch, tap, rows.clone(), plane);
                    }
                }
            }
        });
        output
    }
}

/// Pictures computed in blocks of rows, counted over all pictures.
pub(super) struct Rows {
    pub channels: usize,
    /// Height and width.
    pub size: [usize; 2],
    /// Rows of each block but the last.
    pub rows: usize,
    /// Each `[channels, rows, width]`.
    pub blocks: Vec<Vec<f32>>,
}

impl Rows {
    /// `[batch_size, channels, height, width]`, the bias added.
    pub fn join(&self, batch_size: usize, bias: Option<&[f32]>) -> Vec<f32> {
        let [height, width] = self.size;
        let pixels = height * width;
        let mut output = vec![0.0; batch_size * self.channels * pixels];
        parallel::for_each_piece(&mut output, pixels, 1, |plane, output| {
            let (picture, channel) = (plane / self.channels, plane % self.channels);
            let bias = bias.map_or(0.0, |bias| bias[channel]);
            let mut row = 0;
            while row < height {
                let place = picture * height + row;
                let (block, inside) = (&self.blocks[place / self.rows], place % self.rows);
                let columns = block.len() / self.channels;
                let length = (columns - inside * width).min((height - row) * width);
                let from = &block[channel * columns + inside * width..][..length];
                for (to, from) in output[row * width..][..length].iter_mut().zip(from) {
                    *to = from + bias;
                }
                row += length / width;
            }
        });
        output
    }
}

/// A convolution with its weights.
#[derive(Clone, Debug)]
pub(super) struct FrozenConvolution {
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
