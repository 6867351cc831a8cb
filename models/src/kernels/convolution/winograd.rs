//! 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3) ("Fast Algorithms for Convolutional Neural
//! Networks", Lavin and Gray 2015): 16 multiplications for four output pixels in place of 36, and
//! sums before and after them.

use super::{
    super::{
        matrix::{Matrix, multiply},
        parallel::{self, for_each_piece, vectorized, with_scratch},
    },
    geometry::{Convolution, Rows},
};

/// Places of a transformed tile or filter, 4 x 4.
const PLACES: usize = 16;
/// How many transformed values a block of tiles may have: 1 MiB.
const BLOCK: usize = 1 << 18;

/// One convolution: from what to what, in tiles of 2x2 output pixels.
pub(super) struct Winograd {
    sizes: Convolution,
    /// Tiles above each other, and beside each other.
    tiles: [usize; 2],
}

/// Filters `[channels_out, channels_in, 3, 3]` as `[channels_out, 16, channels_in]`.
pub(super) fn transform(weight: &[f32], channels_in: usize) -> Vec<f32> {
    const TAPS: usize = 9;
    let mut filters = vec![0.0; weight.len() / TAPS * PLACES];
    for_each_piece(&mut filters, PLACES * channels_in, 4, |channel, filters| {
        let weight = &weight[channel * TAPS * channels_in..][..TAPS * channels_in];
        vectorized(|| {
            let mut places = filters.chunks_exact_mut(channels_in);
            let places: [&mut [f32]; PLACES] =
                std::array::from_fn(|_| places.next().unwrap_or_default());
            for (i, g) in weight.chunks_exact(TAPS).enumerate() {
                // G g: three columns of four.
                let columns: [[f32; 4]; 3] = std::array::from_fn(|c| {
                    let (sum, middle) = (0.5 * (g[c] + g[c + 6]), 0.5 * g[c + 3]);
                    [g[c], sum + middle, sum - middle, g[c + 6]]
                });
                for row in 0..4 {
                    let [first, middle, last] = [0, 1, 2].map(|c| columns[c][row]);
                    let (sum, middle) = (0.5 * (first + last), 0.5 * middle);
                    places[4 * row][i] = first;
                    places[4 * row + 1][i] = sum + middle;
                    places[4 * row + 2][i] = sum - middle;
                    places[4 * row + 3][i] = last;
                }
            }
        });
    });
    filters
}

impl Winograd {
    /// Nothing where the sizes do not fit the method, or the pictures are too small to gain.
    pub fn new(sizes: &Convolution) -> Option<Self> {
        let [height, width] = sizes.output;
        let padding = sizes.padding;
        let fits = sizes.kernel == [3, 3]
            && sizes.stride == [1, 1]
            && height % 2 == 0
            && width % 2 == 0
            && width >= 8
            && padding[0] < 3
            && padding[1] < 3
            && sizes.channels_in.min(sizes.channels_out) >= 16
            // Else transforming the filters costs more than it saves.
            && sizes.batch_size * height / 2 * width / 2 >= 256;
        fits.then_some(Self { sizes: *sizes, tiles: [height / 2, width / 2] })
    }

    /// The convolution of `x` by [`transform`]ed filters; `reversed`, the one that leads back from
    /// the output of those filters to their input.
    pub fn convolve(
        &self,
        x: &[f32],
        filters: &[f32],
        reversed: bool,
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let Convolution { batch_size, channels_in, channels_out, output, .. } = self.sizes;
        let all_rows = batch_size * self.tiles[0];
        let most = BLOCK / (PLACES * (channels_in + channels_out) * self.tiles[1]).max(1);
        let rows = most.clamp(1, all_rows.max(1));
        let cost = PLACES * channels_in * channels_out * rows * self.tiles[1];
        let blocks = parallel::map(all_rows.div_ceil(rows), cost, |block| {
            let rows = block * rows..all_rows.min((block + 1) * rows);
            let tiles = rows.len() * self.tiles[1];
            let mut pixels = vec![0.0; channels_out * 4 * tiles];
            with_scratch(PLACES * (channels_in + channels_out) * tiles, |scratch| {
                let (inputs, products) = scratch.split_at_mut(PLACES * channels_in * tiles);
                self.transform_input(x, rows, inputs);
                let outputs = products.chunks_exact_mut(channels_out * tiles);
                for (place, output) in outputs.enumerate() {
                    let input = &inputs[place * channels_in * tiles..][..channels_in * tiles];
                    let input = Matrix::new(input, channels_in, tiles);
                    let filter = self.filter(filters, place, reversed);
                    multiply(output, tiles, filter, input, 1.0, false);
                }
                self.transform_output(products, &mut pixels);
            });
            pixels
        });
        Rows { channels: channels_out, size: output, rows: 2 * rows, blocks }.join(batch_size, bias)
    }

    /// One place of all filters, `[channels_out, channels_in]`. A filter turned by half a circle,
    /// which leads back, has its transformed rows and columns 0 and 3 exchanged.
    fn filter<'a>(&self, filters: &'a [f32], place: usize, reversed: bool) -> Matrix<'a> {
        let Convolution { channels_in, channels_out, .. } = self.sizes;
        if !reversed {
            let filters = &filters[place * channels_in..];
            return Matrix::strided(filters, channels_out, channels_in, PLACES * channels_in);
        }
        const EXCHANGED: [usize; 4] = [3, 1, 2, 0];
        let place = EXCHANGED[place / 4] * 4 + EXCHANGED[place % 4];
        let filters = &filters[place * channels_out..];
        Matrix::strided(filters, channels_in, channels_out, PLACES * channels_out).transpose()
    }

    /// Some rows of tiles, counted over all pictures, as `[16, channels_in, tiles]`.
    fn transform_input(&self, x: &[f32], rows: std::ops::Range<usize>, inputs: &mut [f32]) {
        let Convolution { channels_in, input: [height, width], padding, .. } = self.sizes;
        let across = self.tiles[1];
        let tiles = rows.len() * across;
        let mut padded = vec![0.0_f32; 4 * (2 * across + 2)];
        let mut summed = padded.clone();
        let line = 2 * across + 2;
        vectorized(|| {
            for (i, row) in rows.enumerate() {
                let (picture, row) = (row / self.tiles[0], row % self.tiles[0]);
                for channel in 0..channels_in {
                    let plane = &x[(picture * channels_in + channel) * height * width..];
                    for (r, padded) in padded.chunks_exact_mut(line).enumerate() {
                        let y = (2 * row + r).checked_sub(padding[0]).filter(|y| *y < height);
                        let Some(y) = y else {
                            padded.fill(0.0);
                            continue;
                        };
                        let length = width.min(line - padding[1]);
                        padded[padding[1]..][..length]
                            .copy_from_slice(&plane[y * width..][..length]);
                    }
                    let (top, bottom) = padded.split_at(2 * line);
                    let ([d0, d1], [d2, d3]) = (halves(top), halves(bottom));
                    let (top, bottom) = summed.split_at_mut(2 * line);
                    let ((t0, t1), (t2, t3)) = (top.split_at_mut(line), bottom.split_at_mut(line));
                    for c in 0..line {
                        t0[c] = d0[c] - d2[c];
                        t1[c] = d1[c] + d2[c];
                        t2[c] = d2[c] - d1[c];
                        t3[c] = d1[c] - d3[c];
                    }
                    for (r, t) in summed.chunks_exact(line).enumerate() {
                        let to =
                            |c: usize| ((4 * r + c) * channels_in + channel) * tiles + i * across;
                        let (pairs, next) = (pairs(t, across), pairs(&t[2..], across));
                        write(&mut inputs[to(0)..], pairs, next, |a, _, c, _| a - c);
                        write(&mut inputs[to(1)..], pairs, next, |_, b, c, _| b + c);
                        write(&mut inputs[to(2)..], pairs, next, |_, b, c, _| c - b);
                        write(&mut inputs[to(3)..], pairs, next, |_, b, _, d| b - d);
                    }
                }
            }
        });
    }

    /// Products `[16, channels_out, tiles]` as pixels `[channels_out, rows, width]`.
    fn transform_output(&self, products: &[f32], pixels: &mut [f32]) {
        let (channels, across) = (self.sizes.channels_out, self.tiles[1]);
        let tiles = products.len() / (PLACES * channels).max(1);
        let row_length = 4 * across;
        let mut columns = vec![0.0_f32; 8 * across];
        vectorized(|| {
            for (i, pixels) in pixels.chunks_exact_mut(row_length).enumerate() {
                // Channel and row of tiles.
                let start = i * across;
                let (channel, tile) = (start / tiles, start % tiles);
                let product = |place: usize| {
                    &products[(place * channels + channel) * tiles + tile..][..across]
                };
                let (upper, lower) = columns.split_at_mut(4 * across);
                for c in 0..4 {
                    let [m0, m1, m2, m3] = [0, 1, 2, 3].map(|r| product(4 * r + c));
                    let upper = &mut upper[c * across..][..across];
                    let lower = &mut lower[c * across..][..across];
                    for t in 0..across {
                        upper[t] = m0[t] + m1[t] + m2[t];
                        lower[t] = m1[t] - m2[t] - m3[t];
                    }
                }
                let (above, below) = pixels.split_at_mut(2 * across);
                for (line, sums) in [(above, upper), (below, lower)] {
                    let (left, right) = sums.split_at(2 * across);
                    let ((s0, s1), (s2, s3)) = (left.split_at(across), right.split_at(across));
                    for (t, pair) in line.chunks_exact_mut(2).enumerate() {
                        pair[0] = s0[t] + s1[t] + s2[t];
                        pair[1] = s1[t] - s2[t] - s3[t];
                    }
                }
            }
        });
    }
}

#[inline(always)]
fn halves(values: &[f32]) -> [&[f32]; 2] {
    let (first, second) = values.split_at(values.len() / 2);
    [first, second]
}

#[inline(always)]
fn pairs(values: &[f32], count: usize) -> &[[f32; 2]] {
    &values.as_chunks().0[..count]
}

/// The four values that begin at each pair, combined.
#[inline(always)]
fn write(
    output: &mut [f32],
    pairs: &[[f32; 2]],
    next: &[[f32; 2]],
    combine: impl Fn(f32, f32, f32, f32) -> f32,
) {
    for ((output, [a, b]), [c, d]) in output.iter_mut().zip(pairs).zip(next) {
        *output = combine(*a, *b, *c, *d);
    }
}
