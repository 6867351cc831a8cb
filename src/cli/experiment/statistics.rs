//! What a set of runs is summed up by.

/// Median and quartiles. The paper reports median ± interquartile range over the concepts, not
/// mean ± deviation, because some concepts fail (arXiv 2302.04841v1, table 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    /// Half of the values lie below.
    pub median: f64,
    /// A quarter of the values lies below.
    pub lower: f64,
    /// Three quarters of the values lie below.
    pub upper: f64,
}

impl Spread {
    /// The spread of values in any order, quartiles by linear interpolation as numpy's `quantile`
    /// does by default. None without values or with one that is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let [lower, median, upper] = [0.25, 0.5, 0.75].map(|share| quantile(&sorted, share));
        Some(Self { median, lower, upper })
    }

    /// From quartile to quartile: what stands behind the paper's "±".
    pub fn interquartile_range(&self) -> f64 {
        self.upper - self.lower
    }
}

/// The value below which `share` of the sorted values lie, at least one of them.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + place.fract() * (above - below)
}

/// How much of the variance of `y` a straight line in `x` explains, 0 to 1: the coefficient of
/// determination of the regression with intercept, which is Pearson's correlation squared.
///
/// None if the lengths differ, a value is not finite, or either is constant, which includes less
/// than two values.
pub(super) fn r_squared(x: &[f64], y: &[f64]) -> Option<f64> {
    let usable = |values: &[f64]| {
        values.iter().all(|value| value.is_finite())
            && values.iter().any(|value| *value != values[0])
    };
    if x.len() != y.len() || !usable(x) || !usable(y) {
        return None;
    }
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect()
    };
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (x, y) = (centred(x), centred(y));
    // of two roots: the product of two small variances can be too small for a number
    let correlation = product(&x, &y) / (product(&x, &x).sqrt() * product(&y, &y).sqrt());
    correlation.is_finite().then(|| (correlation * correlation).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_numpys() {
        // numpy.quantile([7, 1, 3, 2], [.25, .5, .75])
        let want = Spread { lower: 1.75, median: 2.5, upper: 4.0 };
        assert_eq!(Spread::of(&[7.0, 1.0, 3.0, 2.0]), Some(want));
        assert_eq!(want.interquartile_range(), 2.25);
        // numpy.quantile([5, 4, 1, 2, 3], ...)
        let odd = Spread { lower: 2.0, median: 3.0, upper: 4.0 };
        assert_eq!(Spread::of(&[5.0, 4.0, 1.0, 2.0, 3.0]), Some(odd));
        let one = Spread { lower: 0.7, median: 0.7, upper: 0.7 };
        assert_eq!(Spread::of(&[0.7]), Some(one));
    }

    #[test]
    fn nothing_and_what_is_no_number_have_no_spread() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
        assert_eq!(Spread::of(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn r_squared_is_what_the_regression_explains() {
        // x - 2.5 and y - 2.5: products 4, squares 5 and 5, so 4 * 4 / 25
        let r_squared_of_four = r_squared(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]).unwrap();
        assert!((r_squared_of_four - 0.64).abs() < 1e-15);
        let falling: Vec<f64> = (0..50).map(|step| 0.18 - 1e-5 * f64::from(step)).collect();
        let rising: Vec<f64> = falling.iter().map(|loss| 7.0 - 3.0 * loss).collect();
        assert!((r_squared(&falling, &rising).unwrap() - 1.0).abs() < 1e-12);
        assert!(r_squared(&[0.0, 1.0, 0.0, 1.0], &[0.0, 0.0, 1.0, 1.0]).unwrap() < 1e-15);
    }

    #[test]
    fn a_constant_or_broken_series_explains_nothing() {
        // 0.1 has no exact mean over three, which must not look like a variance
        assert_eq!(r_squared(&[0.1; 3], &[1.0, 2.0, 3.0]), None);
        assert_eq!(r_squared(&[1.0, 2.0, 3.0], &[0.1; 3]), None);
        assert_eq!(r_squared(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(r_squared(&[], &[]), None);
        assert_eq!(r_squared(&[1.0, 2.0], &[1.0, f64::NAN]), None);
        assert_eq!(r_squared(&[0.0, 1e-120], &[0.0, 1e-120]).map(f64::round), Some(1.0));
    }
}
