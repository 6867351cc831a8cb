//! When to stop: a number per evaluation in, a decision out.
//!
//! [`Dvar`] is the criterion of the paper (arXiv 2302.04841, section 4), fed with the loss of the
//! fixed evaluation batch; [`Plateau`] is fed with the same and is not fooled by a trend;
//! [`ScorePatience`] is the one it is compared with, fed with a CLIP score.
//! All are plain `f64` state that serde saves and restores bit for bit. A criterion of one's own
//! implements [`Criterion`].

mod dvar;
mod error;
mod moments;
mod plateau;
mod score_patience;
mod stop_reason;

use alloc::vec::Vec;

pub use dvar::Dvar;
pub use error::CriterionError;
pub use plateau::Plateau;
pub use score_patience::ScorePatience;
pub use stop_reason::StopReason;

/// What the training loop does next.
// Exhaustive: a loop must know every answer.
#[must_use = "nothing stops unless the loop does"]
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Control {
    /// Train on.
    Continue,
    /// End the run.
    Stop(StopReason),
}

impl Control {
    /// The same decision with the index, from 0, of a run's step in its reason.
    pub fn at_step(self, index: usize) -> Self {
        match self {
            Self::Continue => Self::Continue,
            Self::Stop(reason) => Self::Stop(reason.at_step(index)),
        }
    }
}

/// Something that is told a number after each evaluation and decides.
///
/// One that is also serde's `Serialize` and `Deserialize` can stop every trainer: the callbacks
/// save it with the run and restore it.
pub trait Criterion {
    /// Records the next value and decides. A criterion of one's own gives
    /// [`StopReason::Other`].
    ///
    /// # Errors
    ///
    /// For a value that is refused and was not recorded.
    fn update(&mut self, value: f64) -> Result<Control, CriterionError>;

    /// What it was made with, by name, such as a window: a saved criterion is taken back only by one that
    /// was made with the same.
    fn settings(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// What it decided on, by name, in the order in which it is recorded: the same names after
    /// every update.
    fn figures(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}
