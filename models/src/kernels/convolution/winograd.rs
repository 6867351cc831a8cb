//! 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3) ("Fast Algorithms for Convolutional Neural
//! Networks", Lavin and Gray 2015): 16 multiplications for four output pixels in place of 36, and
//! sums before and after them.

use std::ops::Range;

use super::{
    super::{
        parallel::{self, for_each_piece, vectorized, with_scratch},
        tile::{COLUMNS, Panels, ROWS, Right, multiply, panels},
    },
    filters::{Filters, PLACES},
    geometry::{Convolution, Rows},
};

/// How many transformed values a block of tiles may have: 1 MiB.
const BLOCK: usize = 1 << 18;
/// How many transformed values of an input there may be where filters are not kept: 32 MiB.
const INPUTS: usize = 1 << 23;
/// Output channels whose filters are transformed together.
const TOGETHER: usize = 2 * ROWS;

/// One convolution: from what to what, in tiles of 2x2 output pixels.
pub(super) struct Winograd {
    sizes: Convolution,
    /// Tiles above each other, and beside each other.
    tiles: [usize; 2],
}

/// Tiles beside each other whose values lie beside each other in a panel.
#[derive(Clone, Copy)]
struct Run {
    /// Of the first tile, in its row.
    column: usize,
    panel: usize,
    lane: usize,
    length: usize,
}

impl Winograd {
    /// Nothing where the sizes do not fit the method, or transforming the filters, unless they are
    /// `kept`, costs more than it saves.
    pub fn new(sizes: &Convolution, kept: bool) -> Option<Self> {
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
            && (kept || sizes.batch_size * height / 2 * width / 2 >= 64);
        fits.then_some(Self { sizes: *sizes, tiles: [height / 2, width / 2] })
    }

    /// The convolution of `x` by [transformed](super::filters::transform) filters; `reversed`, the one
    /// that leads back from the output of those filters, which has these sizes.
    pub fn convolve(
        &self,
        x: &[f32],
        filters: &[f32],
        bias: Option<&[f32]>,
        reversed: bool,
    ) -> Vec<f32> {
        let Convolution { batch_size, channels_out, output, .. } = self.sizes;
        // inner steps of the products
        let channels_in = match reversed {
            false => self.sizes.channels_in,
            true => self.sizes.channels_in.next_multiple_of(ROWS),
        };
        let (filters, _) = filters.as_chunks();
        let all_rows = batch_size * self.tiles[0];
        let most = BLOCK / (PLACES * (channels_in + channels_out) * self.tiles[1]).max(1);
        let rows = most.clamp(1, all_rows.max(1));
        let cost = PLACES * channels_in * channels_out * rows * self.tiles[1];
        let blocks = parallel::map(all_rows.div_ceil(rows), cost, |block| {
            let rows = block * rows..all_rows.min((block + 1) * rows);
            let tiles = rows.len() * self.tiles[1];
            let panels = panels(tiles, COLUMNS);
            let mut pixels = vec![0.0; channels_out * 4 * tiles];
            // One vector more for each place: at a distance of a power of two, the values that all places have
            // for one tile would lie in the same few lines of a cache.
            let [input_step, output_step] = [channels_in, channels_out].map(|c| c * panels + 1);
            with_scratch(PLACES * (input_step + output_step) * COLUMNS, |scratch| {
                let (scratch, _) = scratch.as_chunks_mut();
                let (inputs, products) = scratch.split_at_mut(PLACES * input_step);
                self.transform_input(x, rows, channels_in, 0..4, inputs);
                let places = inputs.chunks_exact(input_step);
                let outputs = products.chunks_exact_mut(output_step);
                for (place, (input, output)) in places.zip(outputs).enumerate() {
                    let input = &input[..channels_in * panels];
                    let left = if reversed {
                        let values = &filters[turned(place) * channels_out..];
                        Panels::Transposed { values, apart: PLACES * channels_out }
                    } else {
                        let values = &filters[place * channels_in..];
                        Panels::Rows { values, apart: PLACES * channels_in }
                    };
                    multiply(left, input, channels_in, channels_out, |row, panel, sums| {
                        output[panel * channels_out + row] = *sums;
                    });
                }
                self.transform_output(products, channels_out, &mut pixels);
            });
            pixels
        });
        Rows { channels: channels_out, size: output, rows: 2 * rows, blocks }.join(batch_size, bias)
    }

    /// The convolution of `x` by filters of which nothing is kept: each thread transforms those of a few
    /// channels and multiplies by them while they are near.
    pub fn convolve_by_channels(
        &self,
        x: &[f32],
        filters: Filters,
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let Convolution { batch_size, channels_in, channels_out, output, .. } = self.sizes;
        let all_rows = batch_size * self.tiles[0];
        let rows = (INPUTS / (PLACES * channels_in * self.tiles[1])).clamp(1, all_rows);
        let blocks = (0..all_rows).step_by(rows).map(|first| {
            let rows = first..all_rows.min(first + rows);
            let tiles = rows.len() * self.tiles[1];
            let step = channels_in * panels(tiles, COLUMNS) + 1;
            with_scratch(PLACES * step * COLUMNS, |inputs| {
                for_each_piece(inputs, 4 * step * COLUMNS, 4, |line, inputs| {
                    let (inputs, _) = inputs.as_chunks_mut();
                    self.transform_input(x, rows.clone(), channels_in, line..line + 1, inputs);
                });
                let (inputs, _) = inputs.as_chunks();
                let mut pixels = vec![0.0; channels_out * 4 * tiles];
                let length = TOGETHER * 4 * tiles;
                for_each_piece(&mut pixels, length, PLACES * channels_in, |piece, pixels| {
                    let first = piece * (TOGETHER / ROWS);
                    self.multiply_channels(inputs, tiles, filters, first, pixels);
                });
                pixels
            })
        });
        let blocks = blocks.collect();
        Rows { channels: channels_out, size: output, rows: 2 * rows, blocks }.join(batch_size, bias)
    }

    /// The pixels of some output channels, those of the filters from panel `first` on.
    fn multiply_channels(
        &self,
        inputs: &[Right],
        tiles: usize,
        filters: Filters,
        first: usize,
        pixels: &mut [f32],
    ) {
        let (inner, panels) = (self.sizes.channels_in, panels(tiles, COLUMNS));
        let channels = pixels.len() / (4 * tiles);
        // Two filters more for each place, and one vector, for the reason that `convolve` has.
        let (filter_step, output_step) = (inner + 2, channels * panels + 1);
        let room = channels.div_ceil(ROWS) * PLACES * filter_step * ROWS;
        with_scratch(room + PLACES * output_step * COLUMNS, |scratch| {
            let (left, products) = scratch.split_at_mut(room);
            let (left, _) = left.as_chunks_mut();
            let (products, _) = products.as_chunks_mut();
            for (i, left) in left.chunks_exact_mut(PLACES * filter_step).enumerate() {
                filters.transform(first + i, left);
            }
            let places = inputs.chunks_exact(inputs.len() / PLACES);
            let outputs = products.chunks_exact_mut(output_step);
            for (place, (input, output)) in places.zip(outputs).enumerate() {
                let place = if filters.reversed { turned(place) } else { place };
                let values = &left[place * filter_step..];
                let left = Panels::Rows { values, apart: PLACES * filter_step };
                let input = &input[..inner * panels];
                multiply(left, input, inner, channels, |row, panel, sums| {
                    output[panel * channels + row] = *sums;
                });
            }
            self.transform_output(products, channels, pixels);
        });
    }

    /// The runs of row `row` of a block.
    fn runs(&self, row: usize) -> impl Iterator<Item = Run> {
        let across = self.tiles[1];
        let mut column = 0;
        std::iter::from_fn(move || {
            let tile = row * across + column;
            let (panel, lane) = (tile / COLUMNS, tile % COLUMNS);
            let length = (COLUMNS - lane).min(across - column);
            let run = Run { column, panel, lane, length };
            column += length;
            (length > 0).then_some(run)
        })
    }

    /// Some rows of tiles, counted over all pictures, as `[panels, depth]` and a vector after it for each
    /// place of some `lines` of the four; what more there is of each panel than channels is 0.
    fn transform_input(
        &self,
        x: &[f32],
        rows: Range<usize>,
        depth: usize,
        lines: Range<usize>,
        inputs: &mut [Right],
    ) {
        let Convolution { channels_in, input: [height, width], padding, .. } = self.sizes;
        let step = inputs.len() / (4 * lines.len());
        if depth > channels_in {
            let panels =
                inputs.chunks_exact_mut(step).flat_map(|place| place.chunks_exact_mut(depth));
            let rest = panels.flat_map(|panel| &mut panel[channels_in..]);
            rest.for_each(|values| *values = [0.0; COLUMNS]);
        }
        let used = 2 * self.tiles[1] + 2;
        let line = used.next_multiple_of(COLUMNS);
        let width_used = width.min(used - padding[1]);
        let mut padded = vec![0.0_f32; (2 * self.tiles[0] + 2) * line];
        let mut summed = vec![0.0_f32; 4 * line];
        let mut start = rows.start;
        while start < rows.end {
            let (picture, first) = (start / self.tiles[0], start % self.tiles[0]);
            let here = (self.tiles[0] - first).min(rows.end - start);
            vectorized(
                #[inline(always)]
                || {
                    for channel in 0..channels_in {
                        let plane = &x[(picture * channels_in + channel) * height * width..];
                        let padded_lines = padded.chunks_exact_mut(line).take(2 * here + 2);
                        for (i, padded) in padded_lines.enumerate() {
                            let padded = &mut padded[padding[1]..][..width_used];
                            match (2 * first + i).checked_sub(padding[0]).filter(|y| *y < height) {
                                Some(y) => {
                                    padded.copy_from_slice(&plane[y * width..][..width_used])
                                }
                                None => padded.fill(0.0),
                            }
                        }
                        for row in 0..here {
                            add_lines(&padded[2 * row * line..][..4 * line], &mut summed);
                            let summed = &summed[lines.start * line..lines.end * line];
                            for run in self.runs(start - rows.start + row) {
                                let inputs = &mut inputs[run.panel * depth + channel..];
                                match run.length {
                                    16 => add_columns::<16>(summed, line, run, inputs, step),
                                    8 => add_columns::<8>(summed, line, run, inputs, step),
                                    4 => add_columns::<4>(summed, line, run, inputs, step),
                                    _ => run.each(|tile| {
                                        add_columns::<1>(summed, line, tile, inputs, step)
                                    }),
                                }
                            }
                        }
                    }
                },
            );
            start += here;
        }
    }

    /// Products, 16 times `[panels, channels]` and a vector after it, as pixels `[channels, rows, width]`.
    fn transform_output(&self, products: &[Right], channels: usize, pixels: &mut [f32]) {
        let across = self.tiles[1];
        let step = products.len() / PLACES;
        let rows = pixels.len() / (channels * 4 * across);
        vectorized(
            #[inline(always)]
            || {
                for (channel, pixels) in pixels.chunks_exact_mut(rows * 4 * across).enumerate() {
                    for (row, pixels) in pixels.chunks_exact_mut(4 * across).enumerate() {
                        for run in self.runs(row) {
                            let products = &products[run.panel * channels + channel..];
                            match run.length {
                                16 => add_places::<16>(products, step, run, pixels),
                                8 => add_places::<8>(products, step, run, pixels),
                                4 => add_places::<4>(products, step, run, pixels),
                                _ => run.each(|tile| add_places::<1>(products, step, tile, pixels)),
                            }
                        }
                    }
                }
            },
        );
    }
}

/// Where a filter that is turned by half a circle has the value of this place: transformed, its rows
/// and columns 0 and 3 are exchanged.
fn turned(place: usize) -> usize {
    const EXCHANGED: [usize; 4] = [3, 1, 2, 0];
    EXCHANGED[place / 4] * 4 + EXCHANGED[place % 4]
}

impl Run {
    /// Each tile as a run of its own.
    #[inline(always)]
    fn each(self, mut work: impl FnMut(Self)) {
        for i in 0..self.length {
            work(Self { column: self.column + i, lane: self.lane + i, length: 1, ..self });
        }
    }
}

/// Four lines of pixels, combined as the rows of the tiles in them are: `Bᵀ d`.
#[inline(always)]
fn add_lines(lines: &[f32], summed: &mut [f32]) {
    let line = lines.len() / 4;
    let (lines, _) = lines.as_chunks::<COLUMNS>();
    let (summed, _) = summed.as_chunks_mut::<COLUMNS>();
    let count = line / COLUMNS;
    for i in 0..count {
        let [d0, d1, d2, d3] = [0, 1, 2, 3].map(|r| lines[r * count + i]);
        for c in 0..COLUMNS {
            summed[i][c] = d0[c] - d2[c];
            summed[count + i][c] = d1[c] + d2[c];
            summed[2 * count + i][c] = d2[c] - d1[c];
            summed[3 * count + i][c] = d1[c] - d3[c];
        }
    }
}

/// `N` tiles of such lines, each of some `length`, their columns combined too: place `p` goes to
/// `inputs[p * step]`.
#[inline(always)]
fn add_columns<const N: usize>(
    summed: &[f32],
    length: usize,
    run: Run,
    inputs: &mut [Right],
    step: usize,
) {
    for (r, line) in summed.chunks_exact(length).enumerate() {
        let (pairs, _) = line[2 * run.column..][..2 * N + 2].as_chunks::<2>();
        let mut places = [[0.0; N]; 4];
        for i in 0..N {
            let ([a, b], [c, d]) = (pairs[i], pairs[i + 1]);
            places[0][i] = a - c;
            places[1][i] = b + c;
            places[2][i] = c - b;
            places[3][i] = b - d;
        }
        for (c, values) in places.iter().enumerate() {
            inputs[(4 * r + c) * step][run.lane..][..N].copy_from_slice(values);
        }
    }
}

/// The pixels of `N` tiles, two rows of them in `pixels`: `Aᵀ m A`.
#[inline(always)]
fn add_places<const N: usize>(products: &[Right], step: usize, run: Run, pixels: &mut [f32]) {
    let (mut upper, mut lower) = ([[0.0; N]; 4], [[0.0; N]; 4]);
    for c in 0..4 {
        let [m0, m1, m2, m3] = [0, 1, 2, 3].map(|r| &products[(4 * r + c) * step][run.lane..][..N]);
        for i in 0..N {
            upper[c][i] = m0[i] + m1[i] + m2[i];
            lower[c][i] = m1[i] - m2[i] - m3[i];
        }
    }
    let (above, below) = pixels.split_at_mut(pixels.len() / 2);
    for (line, s) in [(above, upper), (below, lower)] {
        let (pairs, _) = line[2 * run.column..][..2 * N].as_chunks_mut::<2>();
        for (i, pair) in pairs.iter_mut().enumerate() {
            *pair = [s[0][i] + s[1][i] + s[2][i], s[1][i] - s[2][i] - s[3][i]];
        }
    }
}
