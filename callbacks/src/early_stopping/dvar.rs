//! DVAR: stop when the evaluation loss has stopped moving, compared with how it moved so far.

use alloc::vec::Vec;

use super::{Control, Criterion, CriterionError, StopReason, moments::Moments};

#[cfg(feature = "serde")]
mod saved;

/// Above this the sum of squares could overflow.
const LARGEST_LOSS: f64 = 1e150;

/// The criterion of arXiv 2302.04841: stop when the population variance of the last `window`
/// losses falls below `threshold` times that of all losses.
///
/// Feed it the loss of the same fixed evaluation batch after every step. It follows the official
/// `VarEarlyStopper` (the ratio is 1 up to and with the first full window, so it cannot stop
/// before loss number `window + 1`) except where that one is undefined: a constant loss, for
/// which it divides 0 by 0, stops as [`StopReason::ConstantObjective`], and a loss that is not a
/// finite number is an error instead of a NaN in the history for ever. Losses that differ by less
/// than 1e-160 count as equal.
///
/// An update costs O(1) amortised; the state holds O(`window`) numbers. With the feature `serde`, it
/// saves the losses of the window and restores the criterion bit for bit, provided the format
/// restores every `f64`: `serde_json` does with its feature `float_roundtrip`.
///
/// # Example
/// ```
/// use dvar_callbacks::early_stopping::{Control, Dvar};
///
/// let mut criterion = Dvar::new(10, 0.15)?;
/// let mut losses = (0..).map(|step| f64::exp(-f64::from(step) / 10.0));
/// let stopped = losses.position(|loss| criterion.update(loss) != Ok(Control::Continue));
/// assert_eq!(stopped, Some(17));
/// # Ok::<(), dvar_callbacks::early_stopping::CriterionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "saved::Saved", try_from = "saved::Saved")
)]
pub struct Dvar {
    window: usize,
    threshold: f64,
    all: Moments,
    /// The window as a queue of two stacks. This one gives up the oldest loss first; beside each
    /// loss, the moments of it and everything below it.
    older: Vec<(f64, Moments)>,
    newer: Vec<f64>,
    newer_moments: Moments,
}

impl Dvar {
    /// A criterion without history. The official code uses a `window` of 310 and a `threshold` of
    /// 0.15 for Textual Inversion, the first version of the paper 282 and 0.39; a `threshold` of
    /// 0 never stops.
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
            all: Moments::default(),
            older: Vec::new(),
            newer: Vec::new(),
            newer_moments: Moments::default(),
        })
    }

    /// Records the next loss and decides on the history up to and with it. Losses may be recorded
    /// after a stop; each decision is made anew.
    ///
    /// # Errors
    /// [`CriterionError::NonFinite`] for a NaN, an infinity or a number beyond ±1e150; the state
    /// is then unchanged.
    pub fn update(&mut self, loss: f64) -> Result<Control, CriterionError> {
        let step = self.history_len();
        if !loss.is_finite() || loss.abs() > LARGEST_LOSS {
            return Err(CriterionError::NonFinite { step, loss });
        }
        self.all = self.all.join(Moments::of(loss));
        if self.older.len() + self.newer.len() == self.window {
            if self.older.is_empty() {
                self.turn_over();
            }
            self.older.pop();
        }
        self.push(loss);

        let ratio = self.ratio();
        Ok(if ratio >= self.threshold {
            Control::Continue
        } else if self.all.variance() == 0.0 {
            Control::Stop(StopReason::ConstantObjective { step })
        } else {
            let Self { window, threshold, .. } = *self;
            Control::Stop(StopReason::Dvar { step, ratio, threshold, window })
        })
    }

    /// Variance of the window over variance of the history: 1 up to and with the first full
    /// window, 0 from the first full window on while all losses are equal.
    pub fn ratio(&self) -> f64 {
        let full = self.history_len() >= self.window;
        if full && self.all.variance() == 0.0 {
            0.0
        } else if self.history_len() <= self.window {
            1.0
        } else {
            let older = self.older.last().map_or_else(Moments::default, |(_, moments)| *moments);
            older.join(self.newer_moments).variance() / self.all.variance()
        }
    }

    /// Number of losses recorded.
    pub fn history_len(&self) -> usize {
        self.all.count as usize
    }

    fn push(&mut self, loss: f64) {
        self.newer.push(loss);
        self.newer_moments = self.newer_moments.join(Moments::of(loss));
    }

    /// Moves every loss from the newer stack to the empty older one.
    fn turn_over(&mut self) {
        let mut moments = Moments::default();
        for loss in self.newer.drain(..).rev() {
            moments = Moments::of(loss).join(moments);
            self.older.push((loss, moments));
        }
        self.newer_moments = Moments::default();
    }
}

/// The value is a loss; the figure is `ratio`. See [`Dvar::update`].
impl Criterion for Dvar {
    fn update(&mut self, value: f64) -> Result<Control, CriterionError> {
        self.update(value)
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        [("window", self.window as f64), ("threshold", self.threshold)].into()
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        [("ratio", self.ratio())].into()
    }
}

#[cfg(test)]
mod tests;
