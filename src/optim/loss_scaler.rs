//! Dynamic loss scaling for gradients in f16 (Micikevicius et al. 2018), with the numbers of torch's
//! `GradScaler`.

use serde::{Deserialize, Serialize};

const GROWTH: f64 = 2.0;
const BACKOFF: f64 = 0.5;
/// Good steps in a row after which the scale grows.
const GROWTH_INTERVAL: usize = 2000;

/// The factor on the loss that keeps small gradients above f16's smallest number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScaler {
    scale: f64,
    /// Since the scale last changed.
    good_steps: usize,
    skipped: usize,
}

impl Default for LossScaler {
    fn default() -> Self {
        Self { scale: 65536.0, good_steps: 0, skipped: 0 }
    }
}

impl LossScaler {
    /// What the loss is multiplied by, and the gradient divided by: a power of two.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Steps that made no update, because their gradient was not finite.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Whether a gradient that is not finite may have been made so by the scale.
    pub fn may_overflow(&self) -> bool {
        self.scale > 1.0
    }

    /// Adapts the scale to a step whose gradient was `finite` or not; one that was not is skipped.
    pub fn update(&mut self, finite: bool) {
        if !finite {
            self.scale *= BACKOFF;
            self.good_steps = 0;
            self.skipped += 1;
            return;
        }
        self.good_steps += 1;
        if self.good_steps == GROWTH_INTERVAL {
            self.scale *= GROWTH;
            self.good_steps = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_halves_on_overflow_and_doubles_after_two_thousand_good_steps() {
        let mut scaler = LossScaler::default();
        scaler.update(false);
        assert_eq!((scaler.scale(), scaler.skipped()), (32768.0, 1));
        (0..GROWTH_INTERVAL - 1).for_each(|_| scaler.update(true));
        assert_eq!(scaler.scale(), 32768.0);
        scaler.update(true);
        assert_eq!((scaler.scale(), scaler.skipped()), (65536.0, 1));
        // the count begins anew after an overflow
        (0..GROWTH_INTERVAL - 1).for_each(|_| scaler.update(true));
        scaler.update(false);
        (0..GROWTH_INTERVAL - 1).for_each(|_| scaler.update(true));
        assert_eq!((scaler.scale(), scaler.skipped()), (32768.0, 2));
    }

    /// From there on a gradient that is no number ends the run: it would be none at any scale.
    #[test]
    fn a_scale_of_one_is_not_to_blame_for_an_overflow() {
        let mut scaler = LossScaler::default();
        (0..15).for_each(|_| scaler.update(false));
        assert!(scaler.may_overflow(), "{}", scaler.scale());
        scaler.update(false);
        assert!(!scaler.may_overflow(), "{}", scaler.scale());
    }
}
