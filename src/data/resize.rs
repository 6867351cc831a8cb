//! Resampling of 8-bit samples, bit for bit as Pillow does it.
//!
//! Follows Pillow's `src/libImaging/Resample.c`: a separable filter, widened by the scale when
//! shrinking (antialiasing), with weights in 22-bit fixed point; one axis after the other, rounded
//! and clipped to 8 bits in between. The reference code's training pictures and CLIP scores went
//! through it, so a float resampler would give other numbers.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// 32-bit sums of 8-bit samples and weights up to 2 leave this many bits for the fraction.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// The interpolation kernel; all three are antialiased when shrinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Triangle over 2 source samples.
    Bilinear,
    /// Keys' cubic with a = -0.5 over 4 source samples.
    Bicubic,
    /// Windowed sinc with a = 3 over 6 source samples.
    Lanczos,
}

impl Filter {
    /// Half the kernel's width, in source samples at scale 1.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let distance = x.abs();
        match self {
            Self::Bilinear if distance < 1.0 => 1.0 - distance,
            Self::Bicubic if distance < 1.0 => {
                const A: f64 = -0.5;
                ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
            }
            Self::Bicubic if distance < 2.0 => {
                const A: f64 = -0.5;
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A
            }
            Self::Lanczos if distance < 3.0 => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// The source samples one output sample is made of.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

fn windows(length: usize, new_length: usize, filter: Filter) -> Vec<Window> {
    let scale = length as f64 / new_length as f64;
    let filter_scale = scale.max(1.0);
    let support = filter.support() * filter_scale;
    (0..new_length)
        .map(|output| {
            let center = (output as f64 + 0.5) * scale;
            // `as` cuts towards zero and at zero, as Pillow's cast and clamp do.
            let start = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(length);
            let weights: Vec<f64> = (start..end)
                .map(|i| filter.weight((i as f64 - center + 0.5) * (1.0 / filter_scale)))
                .collect();
            let total: f64 = weights.iter().sum();
            let weights = weights.iter().map(|weight| fixed_point(weight / total)).collect();
            Window { start, weights }
        })
        .collect()
}

/// Rounds half away from zero, as Pillow does.
fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i32
}

/// Resamples the middle axis of `[outer, length, inner]` samples to `[outer, new_length, inner]`.
///
/// For pixels with `channels` samples, `inner = channels` resizes the width and
/// `inner = width * channels` the height. No lengths may be zero.
pub(super) fn resample_axis(
    samples: &[u8],
    inner: usize,
    length: usize,
    new_length: usize,
    filter: Filter,
) -> Vec<u8> {
    let windows = windows(length, new_length, filter);
    let mut output = Vec::with_capacity(samples.len() / length * new_length);
    let mut sums = vec![0_i32; inner];
    for block in samples.chunks_exact(length * inner) {
        for window in &windows {
            sums.fill(1 << (PRECISION_BITS - 1));
            let sources = block[window.start * inner..].chunks_exact(inner);
            for (source, weight) in sources.zip(&window.weights) {
                for (sum, sample) in sums.iter_mut().zip(source) {
                    *sum += i32::from(*sample) * weight;
                }
            }
            output.extend(sums.iter().map(|sum| (sum >> PRECISION_BITS).clamp(0, 255) as u8));
        }
    }
    output
}

/// For each output sample the index of the nearest source sample.
///
/// The position is summed up step by step, since Pillow's rounding comes from just that.
pub(super) fn nearest_indices(length: usize, new_length: usize) -> Vec<usize> {
    let step = length as f64 / new_length as f64;
    let mut position = step * 0.5;
    (0..new_length)
        .map(|_| {
            let index = (position as usize).min(length - 1);
            position += step;
            index
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_stays_constant_under_every_filter_and_scale() {
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            for (length, new_length) in [(1, 9), (7, 3), (5, 5), (640, 11), (3, 200)] {
                for value in [0, 1, 127, 255] {
                    let output = resample_axis(&vec![value; length], 1, length, new_length, filter);
                    assert_eq!(
                        output,
                        vec![value; new_length],
                        "{filter:?} {length}->{new_length}"
                    );
                }
            }
        }
    }

    #[test]
    fn equal_lengths_change_nothing() {
        let samples: Vec<u8> = (0..=255).map(|i: u8| i.wrapping_mul(73)).collect();
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            assert_eq!(resample_axis(&samples, 2, 128, 128, filter), samples, "{filter:?}");
        }
    }

    #[test]
    fn nearest_takes_the_sample_at_the_centre() {
        assert_eq!(nearest_indices(4, 2), [1, 3]);
        assert_eq!(nearest_indices(2, 4), [0, 0, 1, 1]);
        assert_eq!(nearest_indices(5, 5), [0, 1, 2, 3, 4]);
    }
}
