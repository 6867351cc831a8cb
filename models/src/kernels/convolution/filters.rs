//! Winograd's filters: 3x3 weights transformed to 4x4, in panels.

use super::{
    super::{
        parallel::{for_each_piece, vectorized},
        tile::{Left, ROWS, panels},
    },
    winograd::PLACES,
};

const TAPS: usize = 9;

/// Weights `[channels_out, channels_in, 3, 3]` as `[panels of channels_out, 16, channels_in]` and what
/// [`Panels::Transposed`](super::super::tile::Panels) wants after it.
pub(super) fn transform(weight: &[f32], channels_in: usize) -> Vec<f32> {
    let length = PLACES * channels_in * ROWS;
    let channels_out = weight.len() / (TAPS * channels_in);
    let mut filters = vec![0.0; panels(channels_out, ROWS) * length + ROWS * ROWS];
    for_each_piece(&mut filters, length, 4, |panel, filters| {
        let weight = &weight[(panel * ROWS).min(channels_out) * channels_in * TAPS..];
        let (filters, _) = filters.as_chunks_mut::<ROWS>();
        vectorized(
            #[inline(always)]
            || {
                for input in 0..channels_in.min(filters.len() / PLACES) {
                    let mut taps = [[0.0; ROWS]; TAPS];
                    for (i, weight) in weight.chunks(channels_in * TAPS).take(ROWS).enumerate() {
                        let weight = &weight[input * TAPS..][..TAPS];
                        taps.iter_mut().zip(weight).for_each(|(taps, tap)| taps[i] = *tap);
                    }
                    let places = filters.iter_mut().skip(input).step_by(channels_in);
                    places.zip(transformed(&taps)).for_each(|(place, value)| *place = value);
                }
            },
        );
    });
    filters
}

/// `G g Gᵀ` of eight filters.
#[inline(always)]
fn transformed(g: &[Left; TAPS]) -> [Left; PLACES] {
    let along = |a: Left, b: Left, c: Left| -> [Left; 4] {
        let mut out = [a, [0.0; ROWS], [0.0; ROWS], c];
        for i in 0..ROWS {
            let (sum, middle) = (0.5 * (a[i] + c[i]), 0.5 * b[i]);
            (out[1][i], out[2][i]) = (sum + middle, sum - middle);
        }
        out
    };
    let columns: [[Left; 4]; 3] = std::array::from_fn(|c| along(g[c], g[c + 3], g[c + 6]));
    let mut places = [[0.0; ROWS]; PLACES];
    for (row, places) in places.chunks_exact_mut(4).enumerate() {
        places.copy_from_slice(&along(columns[0][row], columns[1][row], columns[2][row]));
    }
    places
}
