//! How a run in burn's `Learner` ended, as a value.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{TrainError, early_stopping::StopReason};

/// How a run ended: readable while it goes on and after it. Clones show the same run.
#[derive(Clone, Debug, Default)]
pub struct Outcome(Arc<Mutex<Ended>>);

#[derive(Debug, Default)]
struct Ended {
    steps: usize,
    stop: Option<StopReason>,
    error: Option<Arc<TrainError>>,
}

impl Outcome {
    /// Why the run ended, once it did without an error. Burn's `LearningResult::interrupted` holds
    /// the same in words, where a callback ended the run. What was given to burn's `early_stopping`
    /// ends it as [`StopReason::Other`].
    pub fn stop(&self) -> Option<StopReason> {
        self.lock().stop.clone()
    }

    /// The error of a callback that ended the run. Burn's `LearningResult::error` holds the same in
    /// words.
    pub fn error(&self) -> Option<Arc<TrainError>> {
        self.lock().error.clone()
    }

    /// Optimizer steps made so far. Those before a resumed checkpoint count where the strategy has the
    /// folder with their number ([`with_state_folder`](super::StepwiseLearningStrategy::with_state_folder)).
    pub fn steps(&self) -> usize {
        self.lock().steps
    }

    pub(super) fn set_steps(&self, steps: usize) {
        self.lock().steps = steps;
    }

    pub(super) fn set_stop(&self, stop: StopReason) {
        self.lock().stop = Some(stop);
    }

    pub(super) fn set_error(&self, error: Arc<TrainError>) {
        self.lock().error = Some(error);
    }

    /// Plain values are whole whatever happened to another holder of the lock.
    fn lock(&self) -> MutexGuard<'_, Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
