//! Convolution by patches gathered as columns of a matrix and one product of matrices.

use super::{
    super::{
        matrix::{Matrix, multiply},
        parallel::{self, for_each_piece, with_scratch},
    },
    geometry::{Convolution, Rows},
};

/// How many values a block of columns may have: 512 KiB, about what a core's own cache holds.
const BLOCK: usize = 1 << 17;
/// Fewer blocks than this leave threads without work.
const FEW: usize = 8;
/// Fewer output channels than this leave a product short.
const CHANNELS: usize = 32;
/// Fewer columns than this leave a product's inner loop short.
const COLUMNS: usize = 64;

impl Convolution {
    /// # Shapes
    ///
    /// - x: `[batch_size, channels_in, height, width]`
    /// - weight: `[channels_out, channels_in, kernel, kernel]`
    /// - bias: `[channels_out]`
    /// - output: `[batch_size, channels_out, height_out, width_out]`
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let (depth, width) = (self.depth(), self.output[1].max(1));
        // Rows of output pixels, over all pictures.
        let all_rows = self.batch_size * self.output[0];
        let rows = (BLOCK / depth.max(1)).max(COLUMNS).div_ceil(width);
        if all_rows < FEW * rows {
            return self.forward_by_channels(x, weight, bias);
        }
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

    /// [`forward`](Self::forward) of few pixels: the output channels are shared out among the threads, so
    /// that each weight is read once.
    fn forward_by_channels(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let rows = self.batch_size * self.output[0];
        let (depth, columns) = (self.depth(), rows * self.output[1]);
        let mut patches = vec![0.0; depth * columns];
        for_each_piece(&mut patches, columns, 1, |i, patch| self.gather_row(x, i, 0..rows, patch));
        let patches = Matrix::new(&patches, depth, columns);
        let channels = self.channels_out.div_ceil(FEW).max(CHANNELS);
        let mut product = vec![0.0; self.channels_out * columns];
        for_each_piece(&mut product, channels * columns, depth, |i, product| {
            let weight = &weight[i * channels * depth..];
            let weight = Matrix::new(weight, product.len() / columns, depth);
            multiply(product, columns, weight, patches, 1.0, false);
        });
        Rows { channels: self.channels_out, size: self.output, rows, blocks: vec![product] }
            .join(self.batch_size, bias)
    }

    /// The gradient of the input, `[batch_size, channels_in, height, width]`, given the output's.
    pub fn backward(&self, gradient: &[f32], weight: &[f32]) -> Vec<f32> {
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
        for_each_piece(&mut output, pixels_in, 1, |plane, output| {
            let (picture, channel) = (plane / self.channels_in, plane % self.channels_in);
            let block = &blocks[picture / together * channel_blocks + channel / channels];
            let block_channels = channels.min(self.channels_in - channel / channels * channels);
            let inside = picture % together * block_channels + channel % channels;
            output.copy_from_slice(&block[inside * pixels_in..][..pixels_in]);
        });
        output
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
