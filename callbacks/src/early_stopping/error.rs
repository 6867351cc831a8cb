//! What a criterion refuses.

use core::fmt;

/// A setting, a value or a saved state that a criterion refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum CriterionError {
    /// A variance needs two losses.
    Window {
        /// The refused window.
        window: usize,
    },
    /// A threshold outside `[0, 1)`.
    Threshold {
        /// The refused threshold.
        threshold: f64,
    },
    /// A negative or non-finite smallest improvement.
    MinDelta {
        /// The refused improvement.
        min_delta: f64,
    },
    /// A loss that is not a finite number, or lies beyond ±1e150; it was not recorded.
    NonFinite {
        /// Index the loss would have had: 0 for the first evaluation.
        step: usize,
        /// The refused loss.
        loss: f64,
    },
    /// A saved state that no sequence of losses leads to.
    SavedState,
}

impl CriterionError {
    /// The option to change, by its name in a configuration file; none where the state is broken.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::Window { .. } => Some("window"),
            Self::Threshold { .. } => Some("threshold"),
            Self::MinDelta { .. } => Some("min_delta"),
            Self::NonFinite { .. } => Some("learning_rate"),
            Self::SavedState => None,
        }
    }
}

impl fmt::Display for CriterionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window { window } => {
                write!(f, "the window is {window} but must be at least 2 losses")
            }
            Self::Threshold { threshold } => write!(
                f,
                "the threshold is `{threshold}` but must be at least 0 (never stop) and less than 1"
            ),
            Self::MinDelta { min_delta } => write!(
                f,
                "the smallest improvement of the score is `{min_delta}` but must be 0 or a \
                 positive number"
            ),
            Self::NonFinite { step, loss } => write!(
                f,
                "the loss of evaluation {} is `{loss}`: lower the learning rate",
                step.saturating_add(1)
            ),
            Self::SavedState => f.write_str(
                "the criterion's saved state contradicts itself: resume from another checkpoint",
            ),
        }
    }
}

impl core::error::Error for CriterionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_which_option_to_change() {
        let refused = CriterionError::NonFinite { step: 0, loss: f64::NAN };
        assert_eq!(
            refused.to_string(),
            "the loss of evaluation 1 is `NaN`: lower the learning rate"
        );
        assert_eq!(refused.option(), Some("learning_rate"));
        assert_eq!(CriterionError::Window { window: 1 }.option(), Some("window"));
        assert_eq!(CriterionError::Threshold { threshold: 1.0 }.option(), Some("threshold"));
        assert_eq!(CriterionError::MinDelta { min_delta: -1.0 }.option(), Some("min_delta"));
        assert_eq!(CriterionError::SavedState.option(), None);
    }
}
