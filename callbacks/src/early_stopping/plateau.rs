//! Plateau: stop when the last window brought next to nothing of the whole fall.

use alloc::collections::VecDeque;

use super::{Control, Criterion, CriterionError, StopReason};

/// Above this a sum of losses could overflow.
const LARGEST_LOSS: f64 = 1e150;

/// Stops when the mean loss of the last `window` evaluations lies below that of the `window` before
/// them by less than `threshold` times the whole fall, from the first loss to the mean of the last.
///
/// Feed it the loss of the same fixed evaluation batch, as [`Dvar`](super::Dvar). Where that one is
/// fooled by a trend, this one is not: on a loss that falls in a straight line for ever it waits
/// for 20.5 windows under a threshold of 0.05 (DVAR: 4.5), and on an exponential with a time constant
/// of four windows it stops when 87 % of the fall are done (DVAR: 56 %); `docs/stop-any-training.md`
/// has the figures. It needs two whole windows. As long as the loss has not fallen it never stops,
/// but for a loss that is the same number at every evaluation: [`StopReason::ConstantObjective`].
///
/// An update adds up the 2 `window` numbers that the state holds. serde restores it bit for bit, as
/// [`Dvar`](super::Dvar).
///
/// # Example
/// ```
/// use dvar_callbacks::early_stopping::{Control, Plateau};
///
/// let mut criterion = Plateau::new(10, 0.05)?;
/// let mut losses = (0..).map(|step| f64::exp(-f64::from(step) / 10.0));
/// let stopped = losses.position(|loss| criterion.update(loss) != Ok(Control::Continue));
/// assert_eq!(stopped, Some(41));
/// # Ok::<(), dvar_callbacks::early_stopping::CriterionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, try_from = "Saved"))]
pub struct Plateau {
    window: usize,
    threshold: f64,
    /// Evaluations so far.
    count: usize,
    first: f64,
    /// Whether any loss was another number than the first.
    moved: bool,
    /// The last two windows, each loss less the first one, from the oldest.
    losses: VecDeque<f64>,
    /// Sums of the older and of the newer window.
    earlier: f64,
    recent: f64,
}

/// What was saved, before it is checked.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    window: usize,
    threshold: f64,
    count: usize,
    first: f64,
    moved: bool,
    losses: VecDeque<f64>,
    earlier: f64,
    recent: f64,
}

#[cfg(feature = "serde")]
impl TryFrom<Saved> for Plateau {
    type Error = CriterionError;

    fn try_from(saved: Saved) -> Result<Self, CriterionError> {
        let Saved { window, threshold, count, first, moved, losses, earlier, recent } = saved;
        let finite = |value: &f64| value.abs() <= 2.0 * LARGEST_LOSS;
        let sums = window as f64 * 2.0 * LARGEST_LOSS;
        let possible = losses.len() == count.min(window.saturating_mul(2))
            && losses.iter().chain([&first]).all(finite)
            && earlier.abs() <= sums
            && recent.abs() <= sums;
        if !possible {
            return Err(CriterionError::SavedState);
        }
        let new = Self::new(window, threshold)?;
        Ok(Self { count, first, moved, losses, earlier, recent, ..new })
    }
}

impl Plateau {
    /// A criterion without history. A `threshold` of 0 never stops.
    ///
    /// # Errors
    /// A `window` below 2; a `threshold` outside `[0, 1)`.
    pub fn new(window: usize, threshold: f64) -> Result<Self, CriterionError> {
        if window < 2 {
            return Err(CriterionError::Window { window });
        }
        if !(0.0..1.0).contains(&threshold) {
            return Err(CriterionError::Threshold { threshold });
        }
        Ok(Self {
            window,
            threshold,
            count: 0,
            first: 0.0,
            moved: false,
            losses: VecDeque::new(),
            earlier: 0.0,
            recent: 0.0,
        })
    }

    /// What the last window brought, as a share of the whole fall: 1 without two whole windows, or
    /// where the loss has not fallen.
    pub fn share(&self) -> f64 {
        let mean = |sum: f64| sum / self.window as f64;
        let fall = -mean(self.recent); // the first loss is the zero of all sums
        if self.losses.len() < self.both_windows() || fall <= 0.0 {
            return 1.0;
        }
        (mean(self.earlier) - mean(self.recent)) / fall
    }

    /// Records the next loss and decides on the history up to and with it. Losses may be recorded
    /// after a stop; each decision is made anew.
    ///
    /// # Errors
    /// [`CriterionError::NonFinite`] for a NaN, an infinity or a number beyond ±1e150; it is not recorded.
    pub fn update(&mut self, loss: f64) -> Result<Control, CriterionError> {
        let step = self.count;
        // the comparison is false for NaN too
        if !matches!(loss.abs(), size if size <= LARGEST_LOSS) {
            return Err(CriterionError::NonFinite { step, loss });
        }
        if step == 0 {
            self.first = loss;
        }
        self.push(loss - self.first);
        let Self { window, threshold, .. } = *self;
        if self.losses.len() < self.both_windows() || threshold == 0.0 {
            return Ok(Control::Continue);
        }
        if !self.moved {
            return Ok(Control::Stop(StopReason::ConstantObjective { step }));
        }
        let share = self.share();
        if share < threshold {
            return Ok(Control::Stop(StopReason::Plateau { step, share, threshold, window }));
        }
        Ok(Control::Continue)
    }

    fn both_windows(&self) -> usize {
        self.window.saturating_mul(2)
    }

    fn push(&mut self, moved: f64) {
        self.count = self.count.saturating_add(1);
        self.moved |= moved != 0.0;
        self.losses.push_back(moved);
        if self.losses.len() > self.both_windows() {
            self.losses.pop_front();
        }
        // not kept up by differences: a huge loss would leave its rounding behind
        let newer = self.losses.len().saturating_sub(self.window);
        self.earlier = self.losses.range(..newer).sum();
        self.recent = self.losses.range(newer..).sum();
    }
}

/// The value is a loss; the figure is called `ratio`, as DVAR's, and is the [`share`](Plateau::share). See
/// [`Plateau::update`].
impl Criterion for Plateau {
    fn update(&mut self, value: f64) -> Result<Control, CriterionError> {
        Self::update(self, value)
    }

    fn settings(&self) -> alloc::vec::Vec<(&'static str, f64)> {
        alloc::vec![("window", self.window as f64), ("threshold", self.threshold)]
    }

    fn figures(&self) -> alloc::vec::Vec<(&'static str, f64)> {
        alloc::vec![("ratio", self.share())]
    }
}

#[cfg(test)]
mod tests;
