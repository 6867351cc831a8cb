//! The criteria between burn's epochs.

use std::fmt;

use burn::train::{
    EarlyStoppingStrategy, Interrupter, TrainingError,
    metric::{
        Metric, MetricName,
        store::{Aggregate, EventStoreClient, Split},
    },
    train::WorkerFailure,
};

use crate::early_stopping::{Control, Criterion};

/// Asks a criterion after every epoch about a metric of burn's: an epoch is an evaluation interval,
/// and a split that is not shuffled or augmented a fixed batch.
///
/// A training that goes on from a checkpoint takes the epochs before it from burn's logs, as far as
/// they are there, and so stops where the whole one would have, if its epochs have the same values.
///
/// The reason reaches `LearningResult::interrupted`. A value that the criterion refuses, or a metric
/// that is not there, ends the run as `LearningResult::error`.
///
/// With burn's `DistributedDataParallel` each device asks a criterion of its own about the same values.
/// The first one that stops interrupts the others, so that the last epoch's checkpoint may be missing.
///
/// # Example
///
/// ```no_run
/// # use burn::train::{*, metric::{*, store::Split}};
/// # use dvar_callbacks::{early_stopping::{CriterionError, Dvar}, learner::EpochEarlyStopping};
/// # fn example<M: LearnerModel>(training: SupervisedTraining<M>) -> Result<(), CriterionError> {
/// let interrupter = training.interrupter();
/// let dvar = Dvar::new(10, 0.15)?;
/// let training = training.early_stopping(
///     EpochEarlyStopping::new(&LossMetric::new(), Split::Valid, dvar, interrupter));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EpochEarlyStopping<C> {
    metric: MetricName,
    split: Split,
    criterion: C,
    interrupter: Interrupter,
    /// The last epoch that the criterion was asked about.
    asked: usize,
}

impl<C: fmt::Debug> fmt::Debug for EpochEarlyStopping<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, split, criterion, asked, .. } = self;
        f.debug_struct("EpochEarlyStopping")
            .field("metric", metric)
            .field("split", split)
            .field("criterion", criterion)
            .field("asked", asked)
            .finish_non_exhaustive()
    }
}

impl<C: Criterion> EpochEarlyStopping<C> {
    /// Watches the epoch's mean of `metric`, which must be registered for `split`. `interrupter` is
    /// the training's own.
    pub fn new<Me: Metric>(
        metric: &Me,
        split: Split,
        criterion: C,
        interrupter: Interrupter,
    ) -> Self {
        Self { metric: metric.name(), split, criterion, interrupter, asked: 0 }
    }

    fn control(&mut self, epoch: usize, store: &EventStoreClient) -> Result<Control, String> {
        let before = self.asked + 1..epoch;
        self.asked = epoch;
        let Self { metric, split, criterion, .. } = self;
        let (metric, split) = (&*metric, &*split);
        let mean = |epoch| store.find_metric(metric, epoch, Aggregate::Mean, split);
        for value in before.filter_map(mean) {
            // the run went on after these epochs
            let _ = criterion.update(value).map_err(|error| error.to_string())?;
        }
        let missing =
            || format!("early stopping: no metric `{metric}` for `{split}`; register it there");
        let value = mean(epoch).ok_or_else(missing)?;
        criterion.update(value).map_err(|error| error.to_string())
    }
}

impl<C: Criterion + Send> EarlyStoppingStrategy for EpochEarlyStopping<C> {
    fn should_stop(&mut self, epoch: usize, store: &EventStoreClient) -> bool {
        match self.control(epoch, store) {
            Ok(Control::Continue) => return false,
            // burn counts epochs from 1, a reason from 0
            Ok(Control::Stop(reason)) => {
                let reason = reason.at_step(epoch.saturating_sub(1));
                self.interrupter.stop(Some(&reason.counting("epoch").to_string()));
            }
            Err(message) => self.interrupter.fail(failure(message)),
        }
        true
    }
}

/// Burn has no error for what takes part in a training from outside; this is its nearest, a failed
/// training step.
pub(super) fn failure(message: String) -> TrainingError {
    TrainingError::Workers(vec![WorkerFailure { device_id: 0, message }])
}
