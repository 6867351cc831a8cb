//! Winograd's filters: 3x3 weights transformed to 4x4, in panels.

use super::super::{
    parallel::{for_each_piece, without_avx512},
    tile::{Left, ROWS, panels},
};

/// Places of a transformed tile or filter, 4 x 4.
pub(super) const PLACES: usize = 16;
const TAPS: usize = 9;
/// Filters whose taps are gathered before the first of them is transformed: what was written in single values
/// is slow to read in vectors right after.
const TOGETHER: usize = 16;

/// Weights `[channels_out, channels_in, 3, 3]` as `[panels of channels_out, 16, channels_in]` and what
/// [`Panels::Transposed`](super::super::tile::Panels) wants after it.
pub(super) fn transform(weight: &[f32], channels_in: usize) -> Vec<f32> {
    let length = PLACES * channels_in * ROWS;
    let channels_out = weight.len() / (TAPS * channels_in);
    let count = panels(channels_out, ROWS);
    let mut filters = vec![0.0; count * length + ROWS * ROWS];
    let weight = Filters { weight, channels: [channels_out, channels_in], reversed: false };
    for_each_piece(&mut filters[..count * length], length, 4, |panel, filters| {
        weight.transform(panel, filters.as_chunks_mut().0);
    });
    filters
}

/// The filters of one convolution.
#[derive(Clone, Copy)]
pub(super) struct Filters<'a> {
    /// `[channels_out, channels_in, 3, 3]`
    pub weight: &'a [f32],
    /// Out and in, as the weights have them.
    pub channels: [usize; 2],
    /// Whether the convolution leads back, from `channels_out` to `channels_in`.
    pub reversed: bool,
}

impl Filters<'_> {
    /// Eight filters for each channel that the convolution starts from: those of panel `panel` of the
    /// channels that it leads to. The 16 places lie as far from each other as `filters` has room for.
    pub fn transform(&self, panel: usize, filters: &mut [Left]) {
        let step = filters.len() / PLACES;
        let [out, into] = self.channels;
        let (rows, row_step, inner, inner_step) = match self.reversed {
            false => (out, into * TAPS, into, TAPS),
            true => (into, TAPS, out, into * TAPS),
        };
        let first = panel * ROWS;
        let rows = ROWS.min(rows - first);
        let weight = &self.weight[first * row_step..];
        let mut places = filters.chunks_exact_mut(step);
        let mut places: [&mut [Left]; PLACES] =
            std::array::from_fn(|_| places.next().unwrap_or_default());
        without_avx512(
            #[inline(always)]
            || {
                let mut taps = [[[0.0; ROWS]; TAPS]; TOGETHER];
                for first in (0..inner).step_by(TOGETHER) {
                    let taps = &mut taps[..TOGETHER.min(inner - first)];
                    for row in 0..rows {
                        let weight = &weight[row * row_step..];
                        for (k, taps) in taps.iter_mut().enumerate() {
                            let weight = &weight[(first + k) * inner_step..][..TAPS];
                            taps.iter_mut().zip(weight).for_each(|(taps, tap)| taps[row] = *tap);
                        }
                    }
                    for (k, taps) in taps.iter().enumerate() {
                        for (place, value) in places.iter_mut().zip(transformed(taps)) {
                            place[first + k] = value;
                        }
                    }
                }
            },
        );
    }
}

/// `G g Gᵀ` of eight filters.
#[inline(always)]
fn transformed(g: &[Left; TAPS]) -> [Left; PLACES] {
    let [a, b, c] = std::array::from_fn(|i| along([g[i], g[i + 3], g[i + 6]]));
    let mut places = [[0.0; ROWS]; PLACES];
    for (row, places) in places.chunks_exact_mut(4).enumerate() {
        places.copy_from_slice(&along([a[row], b[row], c[row]]));
    }
    places
}

/// `G g`, of one column or row.
#[inline(always)]
fn along([a, b, c]: [Left; 3]) -> [Left; 4] {
    let sum: Left = std::array::from_fn(|i| 0.5 * (a[i] + c[i]));
    let middle: Left = std::array::from_fn(|i| 0.5 * b[i]);
    let either = |sign: f32| std::array::from_fn(|i| sum[i] + sign * middle[i]);
    [a, either(1.0), either(-1.0), c]
}
