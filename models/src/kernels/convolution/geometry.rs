//! The sizes of a convolution, and its output put together from blocks.

use super::super::parallel;

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

impl Convolution {
    pub(super) fn pixels_in(&self) -> usize {
        self.input[0] * self.input[1]
    }

    pub(super) fn pixels_out(&self) -> usize {
        self.output[0] * self.output[1]
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The length of one column: the values that one output pixel is made of.
    pub(super) fn depth(&self) -> usize {
        self.channels_in * self.taps()
    }

    /// How far below and right of the first tap this one lies.
    pub(super) fn offset(&self, tap: usize) -> [usize; 2] {
        [tap / self.kernel[1], tap % self.kernel[1]]
    }

    /// Which row (`axis` 0) or column (1) of the input one of the output meets at a tap's offset; none in
    /// the padding.
    #[inline]
    pub(super) fn source(&self, axis: usize, output: usize, offset: usize) -> Option<usize> {
        let place = (output * self.stride[axis] + offset).checked_sub(self.padding[axis])?;
        (place < self.input[axis]).then_some(place)
    }

    /// The sizes of the convolution that leads back; nothing where no convolution does.
    pub(super) fn reversed(&self) -> Option<Self> {
        let [above, left] =
            [0, 1].map(|axis| (self.kernel[axis] - 1).checked_sub(self.padding[axis]));
        let padding = [above?, left?];
        (self.stride == [1, 1]).then_some(Self {
            channels_in: self.channels_out,
            channels_out: self.channels_in,
            input: self.output,
            output: self.input,
            padding,
            ..*self
        })
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
