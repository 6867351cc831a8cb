//! How [`Dvar`] is saved and restored.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{CriterionError, Dvar, LARGEST_LOSS, Moments};

/// What is saved: the losses of the window in order of time, split where the two stacks meet, so
/// that the same sums are made again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    window: usize,
    threshold: f64,
    all: Moments,
    older: Vec<f64>,
    newer: Vec<f64>,
}

impl From<Dvar> for Saved {
    fn from(dvar: Dvar) -> Self {
        let Dvar { window, threshold, all, older, newer, .. } = dvar;
        let older = older.into_iter().rev().map(|(loss, _)| loss).collect();
        Self { window, threshold, all, older, newer }
    }
}

impl TryFrom<Saved> for Dvar {
    type Error = CriterionError;

    fn try_from(saved: Saved) -> Result<Self, CriterionError> {
        let held = saved.older.len() + saved.newer.len();
        let finite = |losses: &[f64]| losses.iter().all(|loss| loss.abs() <= LARGEST_LOSS);
        let complete = held as u64 == saved.all.count.min(saved.window as u64);
        let possible = saved.all.is_possible() && finite(&saved.older) && finite(&saved.newer);
        if !(complete && possible) {
            return Err(CriterionError::SavedState);
        }
        let mut dvar = Self::new(saved.window, saved.threshold)?;
        dvar.all = saved.all;
        dvar.newer = saved.older;
        dvar.turn_over();
        saved.newer.into_iter().for_each(|loss| dvar.push(loss));
        Ok(dvar)
    }
}
