//! A score of the model itself, such as CLIP-I of its samples, and the criterion that watches it.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Callback, LocalBoxFuture, StepContext, TrainError,
    early_stopping::{Control, Criterion},
    watch::{Watch, named_figure},
};

/// The callback's name where it is given none.
const NAME: &str = "score-monitor";

/// The scores of one evaluation by name; the first is the one that is watched.
pub type Scores = Vec<(&'static str, f64)>;

/// Scores the model after every so many steps, records the scores, and stops when a criterion
/// says so, if one is given: [`ScorePatience`](crate::early_stopping::ScorePatience) or another.
pub struct ScoreMonitor<F> {
    score: F,
    name: Option<&'static str>,
    interval: usize,
    criterion: Option<Box<dyn Watch>>,
}

impl<F> fmt::Debug for ScoreMonitor<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, interval, .. } = self;
        f.debug_struct("ScoreMonitor")
            .field("name", name)
            .field("interval", interval)
            .finish_non_exhaustive()
    }
}

impl<F> ScoreMonitor<F> {
    /// `score` is asked for the scores of the model, as it is in training, and is told how many
    /// steps were made: `async |model: &Net, steps| Ok(vec![("accuracy", 0.9)])`. Its error ends the
    /// run.
    pub fn new<M>(score: F) -> Self
    where
        F: AsyncFnMut(&M, usize) -> Result<Scores, TrainError>,
    {
        Self { score, name: None, interval: 1, criterion: None }
    }

    /// Scores after the update of every `interval`-th step: after `interval` steps, not at the
    /// beginning. 0 is taken as 1. Default: 1
    #[must_use]
    pub fn every(self, interval: usize) -> Self {
        Self { interval: interval.max(1), ..self }
    }

    /// The callback's name where a run has several, and what their figures begin with:
    /// `{name}_accuracy`. Default: `score-monitor`, and figures without a beginning
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Ends the run when the criterion says so of the first score, and records its figures. Its
    /// state is saved and restored with the run. An evaluation without any score is then an error.
    #[must_use]
    pub fn stop_when(
        self,
        criterion: impl Criterion + Serialize + DeserializeOwned + 'static,
    ) -> Self {
        Self { criterion: Some(Box::new(criterion)), ..self }
    }
}

impl<M, S, F> Callback<M, S> for ScoreMonitor<F>
where
    F: AsyncFnMut(&M, usize) -> Result<Scores, TrainError>,
{
    fn name(&self) -> &'static str {
        self.name.unwrap_or(NAME)
    }

    fn after_update_async<'a>(
        &'a mut self,
        step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async move {
            let steps = step.record.step + 1;
            if !steps.is_multiple_of(self.interval) {
                return Ok(Control::Continue);
            }
            let scores = (self.score)(step.model, steps).await?;
            for (figure, score) in &scores {
                step.record.set(&named_figure(self.name, figure), *score);
            }
            let Some(criterion) = &mut self.criterion else { return Ok(Control::Continue) };
            let Some((_, score)) = scores.first() else {
                return Err(TrainError::callback(
                    self.name.unwrap_or(NAME),
                    "there is no score for the criterion to watch",
                ));
            };
            let control = criterion.update(*score)?.at_step(step.record.step);
            for (figure, value) in criterion.figures() {
                step.record.set(&named_figure(self.name, figure), value);
            }
            Ok(control)
        })
    }

    fn save(&self) -> Result<Option<serde_json::Value>, TrainError> {
        self.criterion.as_ref().map(|criterion| criterion.save()).transpose()
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<(), TrainError> {
        self.criterion.as_mut().map_or(Ok(()), |criterion| criterion.restore(saved))
    }
}
