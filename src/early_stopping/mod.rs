//! When to stop: a number per evaluation in, a decision out.
//!
//! [`Dvar`] is the criterion of the paper (arXiv 2302.04841, section 4), fed with the loss of the
//! fixed evaluation batch; [`ScorePatience`] is the one it is compared with, fed with a CLIP score.
//! Both are plain `f64` state that serde saves and restores bit for bit.

mod dvar;
mod moments;
mod score_patience;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use dvar::Dvar;
pub use score_patience::ScorePatience;

/// What the training loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Train on.
    Continue,
    /// End the run.
    Stop(StopReason),
}

/// Something that is told a number after each evaluation and decides.
pub trait Criterion {
    /// Records the next value and decides.
    ///
    /// # Errors
    ///
    /// For a value that is refused and was not recorded.
    fn update(&mut self, value: f64) -> Result<Control, CriterionError>;
}

/// The value is a loss; see [`Dvar::update`].
impl Criterion for Dvar {
    fn update(&mut self, value: f64) -> Result<Control, CriterionError> {
        self.update(value)
    }
}

/// The value is a score, and none is refused; see [`ScorePatience::update`].
impl Criterion for ScorePatience {
    fn update(&mut self, value: f64) -> Result<Control, CriterionError> {
        Ok(self.update(value))
    }
}

/// Why a run ended; the Display is one sentence for the user.
///
/// For the criteria of this module `step` is the 0-based index, among the values given to
/// `update`, of the one at which it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StopReason {
    /// The variance of the last `window` losses fell below `threshold` times that of all losses.
    Dvar {
        /// Index of the loss at which it stopped.
        step: usize,
        /// Variance of the window over variance of the history.
        ratio: f64,
        /// The limit the ratio fell below.
        threshold: f64,
        /// Number of losses in the window.
        window: usize,
    },
    /// At least a full window of losses, and all of them are the same number: converged, or the
    /// objective does not depend on what is trained. Worth a warning.
    ConstantObjective {
        /// Index of the loss at which it stopped.
        step: usize,
    },
    /// More than `patience` scores in a row did not improve on the best one.
    NoImprovement {
        /// Index of the score at which it stopped.
        step: usize,
        /// The best score, or none where no score was a finite number.
        best: Option<f64>,
        /// Number of scores without improvement that were allowed.
        patience: usize,
    },
    /// The run made all the steps it was given.
    MaxSteps {
        /// Number of optimiser steps made.
        steps: usize,
    },
    /// The user ended the run.
    Interrupted {
        /// Number of optimiser steps made.
        step: usize,
    },
}

impl StopReason {
    /// The same reason with the step of a run in place of the criterion's own count: they differ
    /// where the criterion is not asked at every step.
    #[must_use]
    pub fn at_step(mut self, at: usize) -> Self {
        match &mut self {
            Self::Dvar { step, .. }
            | Self::ConstantObjective { step }
            | Self::NoImprovement { step, .. }
            | Self::Interrupted { step } => *step = at,
            Self::MaxSteps { .. } => {}
        }
        self
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dvar { step, ratio, threshold, window } => write!(
                f,
                "DVAR stopped at step {step}: the variance of the last {window} losses is \
                 {ratio:.4} of that of all losses, below the threshold {threshold}"
            ),
            Self::ConstantObjective { step } => write!(
                f,
                "DVAR stopped at step {step}: every evaluation loss so far is the same number"
            ),
            Self::NoImprovement { step, best: Some(best), patience } => write!(
                f,
                "the score no longer rose at step {step}: more than {patience} in a row did not \
                 improve on the best, {best:.4}"
            ),
            Self::NoImprovement { step, best: None, patience } => write!(
                f,
                "the score failed at step {step}: more than {patience} in a row were not finite \
                 numbers"
            ),
            Self::MaxSteps { steps } => write!(f, "stopped after all {steps} steps"),
            Self::Interrupted { step } => write!(f, "interrupted after step {step}"),
        }
    }
}

/// What a criterion refuses.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum CriterionError {
    /// A variance needs two losses.
    #[error("the DVAR window is {window} but must be at least 2 losses")]
    Window {
        /// The refused window.
        window: usize,
    },
    /// A threshold outside `[0, 1)`.
    #[error(
        "the DVAR threshold is `{threshold}` but must be at least 0 (never stop) and less than 1"
    )]
    Threshold {
        /// The refused threshold.
        threshold: f64,
    },
    /// A negative or non-finite smallest improvement.
    #[error(
        "the smallest improvement of the score is `{min_delta}` but must be 0 or a positive number"
    )]
    MinDelta {
        /// The refused improvement.
        min_delta: f64,
    },
    /// A loss whose square is not a finite number; it was not recorded.
    #[error("the evaluation loss at evaluation {step} is `{loss}`: lower the learning rate")]
    NonFinite {
        /// Index the loss would have had.
        step: usize,
        /// The refused loss.
        loss: f64,
    },
    /// A saved state that no sequence of losses leads to.
    #[error("the saved DVAR state contradicts itself: resume from another checkpoint")]
    SavedState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_sentence_and_survives_json() {
        let reasons = [
            StopReason::Dvar { step: 9, ratio: 0.125, threshold: 0.15, window: 4 },
            StopReason::ConstantObjective { step: 3 },
            StopReason::NoImprovement { step: 3, best: Some(0.7), patience: 2 },
            StopReason::NoImprovement { step: 3, best: None, patience: 2 },
            StopReason::MaxSteps { steps: 100 },
            StopReason::Interrupted { step: 7 },
        ];
        for reason in reasons {
            let sentence = reason.to_string();
            assert!(!sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
            let control = Control::Stop(reason);
            let json = serde_json::to_string(&control).unwrap();
            assert_eq!(serde_json::from_str::<Control>(&json).unwrap(), control, "{json}");
        }
    }

    #[test]
    fn the_dvar_reason_names_its_numbers() {
        let reason = StopReason::Dvar { step: 9, ratio: 0.125, threshold: 0.15, window: 4 };
        assert_eq!(
            reason.to_string(),
            "DVAR stopped at step 9: the variance of the last 4 losses is 0.1250 of that of \
             all losses, below the threshold 0.15"
        );
    }
}
