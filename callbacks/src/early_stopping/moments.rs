//! Count, mean and sum of squared deviations of a set of losses.
//!
//! Sets are joined with Chan, Golub and LeVeque's formula (1983), so nothing is ever subtracted
//! from a sum. The mean is kept as an unevaluated sum of two doubles: near convergence the
//! differences between means may be far smaller than the rounding error of the mean itself.

#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Moments {
    pub(super) count: u64,
    mean: f64,
    /// What the rounding of `mean` lost.
    mean_tail: f64,
    squared_deviations: f64,
}

impl Moments {
    pub(super) fn of(loss: f64) -> Self {
        Self { count: 1, mean: loss, ..Self::default() }
    }

    pub(super) fn join(self, other: Self) -> Self {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let count = self.count.saturating_add(other.count);
        let share = other.count as f64 / count as f64;
        let (difference, tail) = exact_sum(other.mean, -self.mean);
        let difference = difference + (tail + (other.mean_tail - self.mean_tail));
        let (mean, tail) = exact_sum(self.mean, difference * share);
        let (mean, mean_tail) = exact_sum(mean, tail + self.mean_tail);
        let between = difference * difference * share * self.count as f64;
        let squared_deviations = self.squared_deviations + other.squared_deviations + between;
        Self { count, mean, mean_tail, squared_deviations }
    }

    /// Population variance (ddof 0); exactly 0 for equal losses. Only for a set that is not empty.
    pub(super) fn variance(self) -> f64 {
        self.squared_deviations / self.count as f64
    }

    /// False for what no set of losses has: for states read from a file.
    #[cfg(feature = "serde")]
    pub(super) fn is_possible(self) -> bool {
        let finite = self.mean.is_finite() && self.mean_tail.is_finite();
        let single = self.count > 1 || self.squared_deviations == 0.0;
        finite && single && self.squared_deviations.is_finite() && self.squared_deviations >= 0.0
    }
}

/// The rounded sum and exactly what the rounding lost (Knuth's two-sum).
fn exact_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}
