//! Convolution by small frozen weights: patches of pixels gathered into panels, times weights that are
//! laid out once.

use super::{
    super::{
        parallel::{self, for_each_piece, with_scratch},
        tile::{COLUMNS, Panels, ROWS, Right, multiply, panels},
    },
    geometry::Convolution,
};

/// How many gathered values are held at once: 512 KiB.
const BLOCK: usize = 1 << 17;

/// Weights `[channels_out, channels_in, kernel, kernel]` as `[panels of channels_out, taps, channels_in]`
/// and what [`Panels::Transposed`] wants after it.
pub(super) fn lay_out(weight: &[f32], sizes: &Convolution) -> Vec<f32> {
    let Convolution { channels_in, channels_out, .. } = *sizes;
    let (taps, depth) = (sizes.taps(), sizes.depth());
    let mut values = vec![0.0; (panels(channels_out, ROWS) * depth + ROWS) * ROWS];
    for (output, weight) in weight.chunks_exact(depth).enumerate() {
        let panel = &mut values[output / ROWS * depth * ROWS..][..depth * ROWS];
        for (input, weight) in weight.chunks_exact(taps).enumerate() {
            for (tap, weight) in weight.iter().enumerate() {
                panel[(tap * channels_in + input) * ROWS + output % ROWS] = *weight;
            }
        }
    }
    values
}

impl Convolution {
    /// The convolution of `x` by weights that are [laid out](lay_out); `reversed`, the one that leads
    /// back from the output of those weights, which has these sizes.
    pub(super) fn by_panels(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        reversed: bool,
    ) -> Vec<f32> {
        let (values, _) = weight.as_chunks();
        let (depth, pixels, left) = if reversed {
            let depth = self.taps() * self.channels_in.next_multiple_of(ROWS);
            (depth, self.pixels_out(), Panels::Transposed { values, apart: self.channels_out })
        } else {
            (self.depth(), self.pixels_out(), Panels::Rows { values, apart: self.depth() })
        };
        let columns = self.batch_size * pixels;
        let all = panels(columns, COLUMNS);
        // some panels at a time, so that they stay near
        let together = (BLOCK / (depth * COLUMNS)).max(1);
        let cost = self.channels_out * depth * together * COLUMNS;
        let blocks = parallel::map(all.div_ceil(together), cost, |block| {
            let first = block * together;
            let count = together.min(all - first);
            let mut product = vec![0.0; self.channels_out * count * COLUMNS];
            with_scratch(count * depth * COLUMNS, |patches| {
                let (patches, _) = patches.as_chunks_mut::<COLUMNS>();
                for (i, patches) in patches.chunks_exact_mut(depth).enumerate() {
                    self.gather_panel(x, (first + i) * COLUMNS, patches, reversed);
                }
                multiply(left, patches, depth, self.channels_out, |channel, panel, sums| {
                    product[(channel * count + panel) * COLUMNS..][..COLUMNS].copy_from_slice(sums);
                });
            });
            product
        });
        let mut output = vec![0.0; self.channels_out * columns];
        for_each_piece(&mut output, pixels, 1, |plane, output| {
            let (picture, channel) = (plane / self.channels_out, plane % self.channels_out);
            let bias = bias.map_or(0.0, |bias| bias[channel]);
            let mut done = 0;
            while done < pixels {
                let column = picture * pixels + done;
                let (block, inside) =
                    (column / (together * COLUMNS), column % (together * COLUMNS));
                let width = blocks[block].len() / self.channels_out;
                let from = &blocks[block][channel * width..][inside..width];
                let length = from.len().min(pixels - done);
                let output = output[done..][..length].iter_mut();
                output.zip(from).for_each(|(y, sum)| *y = sum + bias);
                done += length;
            }
        });
        output
    }

    /// What 16 output pixels, counted from `first` on over all pictures, multiply: `[taps, channels]`;
    /// `reversed`, `[panels of channels, taps from the last to the first, 8]`.
    fn gather_panel(&self, x: &[f32], first: usize, patches: &mut [Right], reversed: bool) {
        let (taps, pixels) = (self.taps(), self.pixels_in());
        for tap in 0..taps {
            // Where each value lies in the first channel of its picture; beyond it, at no place.
            let places: [usize; COLUMNS] =
                std::array::from_fn(|lane| self.place(first + lane, tap).unwrap_or(usize::MAX));
            let run = places[0] != usize::MAX
                && places.windows(2).all(|pair| pair[0].wrapping_add(1) == pair[1]);
            for channel in 0..self.channels_in {
                let patch = &mut patches[match reversed {
                    false => tap * self.channels_in + channel,
                    true => (channel / ROWS * taps + taps - 1 - tap) * ROWS + channel % ROWS,
                }];
                let x = &x[channel * pixels..];
                if run {
                    patch.copy_from_slice(&x[places[0]..][..COLUMNS]);
                } else {
                    for (value, place) in patch.iter_mut().zip(&places) {
                        *value = x.get(*place).copied().unwrap_or(0.0);
                    }
                }
            }
            if reversed {
                for channel in self.channels_in..self.channels_in.next_multiple_of(ROWS) {
                    let place = (channel / ROWS * taps + tap) * ROWS + channel % ROWS;
                    patches[place] = [0.0; COLUMNS];
                }
            }
        }
    }

    /// The place, within the first channel of its picture, of the value that an output pixel multiplies
    /// by a tap's weight.
    fn place(&self, pixel: usize, tap: usize) -> Option<usize> {
        let (picture, pixel) = (pixel / self.pixels_out(), pixel % self.pixels_out());
        let (row, column) = (pixel / self.output[1], pixel % self.output[1]);
        let [down, right] = self.offset(tap);
        let (y, x) = (self.source(0, row, down)?, self.source(1, column, right)?);
        (picture < self.batch_size)
            .then(|| picture * self.channels_in * self.pixels_in() + y * self.input[1] + x)
    }
}
