//! Functions of one number in f32, without branches, so that the compiler computes several at once.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// `e` to the power of `x`, within 1.5e-7 of it: `2^n e^r` with `|r| <= ln 2 / 2`, by the polynomial
/// of Cephes' `expf`. NaN stays; results below the normal numbers lose digits as they must.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// 1.5 * 2^23: what is added to it is rounded to a whole number, which its last bits hold.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, of which whole multiples of the first are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let mut tail = 1.987_569_1e-4;
    tail = tail * r + 1.398_199_9e-3;
    tail = tail * r + 8.333_452e-3;
    tail = tail * r + 4.166_579_6e-2;
    tail = tail * r + 1.666_666_5e-1;
    tail = tail * r + 5e-1;
    let power = (tail * r * r + r) + 1.0;
    // From 2^-150 to 2^128, by two factors that are normal numbers.
    let n = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    power * two_to(n >> 1) * two_to(n.wrapping_sub(n >> 1))
}

#[inline(always)]
fn two_to(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

#[inline(always)]
pub(super) fn silu_derivative(x: f32) -> f32 {
    // The sigmoid, and 1 less it without cancellation.
    let small = exp(-x.abs());
    let high = 1.0 / (1.0 + small);
    let low = small * high;
    let (sigmoid, rest) = if x < 0.0 { (low, high) } else { (high, low) };
    sigmoid * (1.0 + x * rest)
}

/// `x` times the normal distribution's share below it, `x (1 + erf(x / sqrt 2)) / 2`.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    x * share_below(x).0
}

#[inline(always)]
pub(super) fn gelu_derivative(x: f32) -> f32 {
    const FRAC_1_SQRT_TAU: f32 = 0.398_942_3;
    let (share, falloff) = share_below(x);
    share + x * falloff * FRAC_1_SQRT_TAU
}

/// The share of the normal distribution below `x`, and `exp(-x²/2)`.
///
/// `erfc(a) = exp(-a²) P(t)` with `t = 1 / (1 + 0.35 a)`; P is a fit of degree 10 for `a` from 0
/// to 20, within 1.3e-8.
#[inline(always)]
fn share_below(x: f32) -> (f32, f32) {
    const P: [f32; 10] = [
        0.043_205_25,
        -0.185_170_22,
        0.243_523_13,
        -0.110_933_43,
        0.156_607_47,
        0.108_507_84,
        0.164_216_75,
        0.185_100_43,
        0.197_476_44,
        0.197_466_35,
    ];
    let t = 1.0 / (1.0 + 0.35 * FRAC_1_SQRT_2 * x.abs());
    let mut p = P[0];
    for coefficient in &P[1..] {
        p = p * t + coefficient;
    }
    let falloff = exp(-0.5 * x * x);
    let beyond = 0.5 * falloff * (p * t);
    (if x < 0.0 { beyond } else { 1.0 - beyond }, falloff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of every size, and those around 0.
    fn numbers() -> impl Iterator<Item = f32> {
        let all = (0..=u32::MAX).step_by(8_191).map(f32::from_bits);
        all.chain((-200_000..200_000).map(|i| i as f32 / 2000.0))
    }

    #[test]
    fn exp_is_exact_to_two_last_digits_over_all_numbers() {
        for x in numbers() {
            let (found, expected) = (exp(x), f64::from(x).exp());
            if x.is_nan() {
                assert!(found.is_nan());
            } else if expected as f32 == f32::INFINITY {
                assert_eq!(found, f32::INFINITY, "{x}");
            } else {
                let error = (f64::from(found) - expected).abs();
                assert!(error <= 2e-7 * expected + f64::from(f32::from_bits(1)), "{x}: {found}");
            }
        }
        assert_eq!([exp(0.0), exp(-0.0), exp(f32::NEG_INFINITY)], [1.0, 1.0, 0.0]);
    }

    /// The error function by its series, or by the continued fraction of its complement.
    fn share_below_exactly(x: f64) -> f64 {
        let a = x.abs() * std::f64::consts::FRAC_1_SQRT_2;
        let falloff = (-a * a).exp() / std::f64::consts::PI.sqrt();
        let beyond = if a < 2.5 {
            let mut term = 2.0 * a;
            let mut sum = term;
            for n in 1..100 {
                term *= 2.0 * a * a / f64::from(2 * n + 1);
                sum += term;
            }
            1.0 - falloff * sum
        } else {
            let fraction = (1..200).rev().fold(a, |rest, n| a + f64::from(n) / 2.0 / rest);
            falloff / fraction
        };
        if x < 0.0 { beyond / 2.0 } else { 1.0 - beyond / 2.0 }
    }

    #[test]
    fn activations_are_exact_to_their_last_digits_over_all_numbers() {
        for x in numbers().filter(|x| x.abs() < 1e18) {
            let exact = f64::from(x);
            let share = share_below_exactly(exact);
            let density = (-exact * exact / 2.0).exp() / std::f64::consts::TAU.sqrt();
            let sigmoid_exact = 1.0 / (1.0 + (-exact).exp());
            let rest = 1.0 / (1.0 + exact.exp());
            let slope = sigmoid_exact * (1.0 + exact * rest);
            for (name, found, expected) in [
                ("sigmoid", sigmoid(x), sigmoid_exact),
                ("silu", silu(x), exact * sigmoid_exact),
                ("silu'", silu_derivative(x), slope),
                ("gelu", gelu(x), exact * share),
                ("gelu'", gelu_derivative(x), share + exact * density),
            ] {
                let error = (f64::from(found) - expected).abs();
                assert!(
                    error <= 3e-7 * expected.abs().max(1.0),
                    "{name}({x}): {found}, {expected}"
                );
            }
        }
        assert!(
            [sigmoid, silu, silu_derivative, gelu, gelu_derivative]
                .iter()
                .all(|function| function(f32::NAN).is_nan())
        );
        assert_eq!([silu(f32::INFINITY), gelu(f32::INFINITY)], [f32::INFINITY; 2]);
    }
}
