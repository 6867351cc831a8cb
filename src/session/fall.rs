//! How the deterministic loss fell, for people.

use std::fmt;

/// A last window that brought more than this share of the whole fall is still learning.
const STILL_LEARNING: f64 = 0.1;

/// How the deterministic loss fell, by the means of whole windows, as
/// [`Plateau`](crate::early_stopping::Plateau) has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fall {
    first: f64,
    /// Mean of the last window.
    last: f64,
    evaluations: usize,
    window: usize,
    /// How much of the fall came in the last `window` evaluations.
    share: f64,
}

impl Fall {
    /// None without two whole windows of losses.
    pub fn new(losses: &[f64], window: usize) -> Option<Self> {
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let start = losses.len().checked_sub(window.saturating_mul(2))?;
        let (earlier, recent) = losses[start..].split_at(window);
        let (first, last) = (*losses.first()?, mean(recent));
        let share = (mean(earlier) - last) / (first - last);
        Some(Self { first, last, evaluations: losses.len(), window, share })
    }

    /// Whether the last window lies below the first loss.
    pub fn fell(&self) -> bool {
        self.first > self.last
    }

    /// Whether the last window brought so much that more steps should bring more.
    pub fn goes_on(&self) -> bool {
        self.fell() && self.share > STILL_LEARNING
    }
}

impl fmt::Display for Fall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, evaluations, window, share } = self;
        write!(
            f,
            "{first:.5} at first, {last:.5} in the last {window} of {evaluations} evaluations: "
        )?;
        if !self.fell() {
            return write!(f, "it did not fall");
        }
        write!(
            f,
            "it fell by {:.1} %, and {:.2} % of that fall came in the last {window}",
            100.0 * (first - last) / first,
            100.0 * share
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fall_of_the_loss_is_told_with_the_last_window_s_share() {
        let told = Fall::new(&[1.0, 0.6, 0.6, 0.5, 0.5], 2).unwrap();
        assert!(told.fell() && told.goes_on());
        let said = told.to_string();
        assert!(said.contains("in the last 2 of 5 evaluations: it fell by 50.0 %"), "{said}");
        assert!(said.ends_with("and 20.00 % of that fall came in the last 2"), "{said}");
        assert!(!Fall::new(&[1.0, 0.51, 0.51, 0.5, 0.5], 2).unwrap().goes_on());
        let rose = Fall::new(&[0.5, 0.6, 0.7], 1).unwrap();
        assert!(rose.to_string().ends_with("it did not fall") && !rose.fell() && !rose.goes_on());
        assert_eq!(Fall::new(&[1.0, 0.9, 0.8], 2), None, "no two whole windows");
        assert_eq!(Fall::new(&[], 2), None);
    }
}
