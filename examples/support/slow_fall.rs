//! A criterion of one's own; `docs/extending.md` shows it.

use dvar::early_stopping::{Control, Criterion, CriterionError, StopReason};
use serde::{Deserialize, Serialize};

/// Stops when the last `window` steps brought less than `share` of the loss' whole fall.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlowFall {
    window: usize,
    share: f64,
    losses: Vec<f64>,
}

impl SlowFall {
    pub fn new(window: usize, share: f64) -> Self {
        Self { window, share, losses: Vec::new() }
    }

    /// The fall over the window as a share of the whole fall; 1 while there is no whole window, or
    /// the loss has not fallen.
    fn fall(&self) -> f64 {
        let Some(start) = self.losses.len().checked_sub(self.window + 1) else { return 1.0 };
        let last = self.losses[start + self.window];
        let whole = self.losses[0] - last;
        if whole > 0.0 { (self.losses[start] - last) / whole } else { 1.0 }
    }
}

impl Criterion for SlowFall {
    fn update(&mut self, loss: f64) -> Result<Control, CriterionError> {
        let step = self.losses.len();
        if !loss.is_finite() {
            return Err(CriterionError::NonFinite { step, loss });
        }
        self.losses.push(loss);
        let (fall, window) = (self.fall(), self.window);
        if fall >= self.share {
            return Ok(Control::Continue);
        }
        Ok(Control::Stop(StopReason::Other {
            criterion: "the slow fall".into(),
            step,
            text: format!("the last {window} steps brought {fall:.3} of the whole fall"),
            figures: [("fall".into(), fall)].into(),
        }))
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        vec![("fall", self.fall())]
    }
}
