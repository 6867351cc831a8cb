//! A score of the model itself, such as CLIP-I of its samples, and the criterion that watches it.

use crate::{
    early_stopping::{Control, ScorePatience},
    trainer::{Callback, LocalBoxFuture, StepContext, TrainError},
};

/// The scores of one evaluation by name; the first is the one that is watched.
pub type Scores = Vec<(&'static str, f64)>;

/// Scores the model after every so many updates, records the scores, and stops when
/// [`ScorePatience`] says so, if it is given.
pub struct ScoreMonitor<S> {
    score: S,
    name: &'static str,
    interval: usize,
    criterion: Option<ScorePatience>,
}

impl<S> ScoreMonitor<S> {
    /// `score` is asked for the scores of the model, as it is in training, and is told how many
    /// updates were made: `async |model: &Net, updates| Ok(vec![("accuracy", 0.9)])`.
    pub fn new<M>(score: S) -> Self
    where
        S: AsyncFnMut(&M, usize) -> Result<Scores, TrainError>,
    {
        Self { score, name: "score-monitor", interval: 1, criterion: None }
    }

    /// Scores after every `interval`-th update; 0 is taken as 1. Default: 1
    #[must_use]
    pub fn every(self, interval: usize) -> Self {
        Self { interval: interval.max(1), ..self }
    }

    /// The callback's name where a run has several. Default: `score-monitor`
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Ends the run when the first score no longer rises.
    #[must_use]
    pub fn stop_when(self, criterion: ScorePatience) -> Self {
        Self { criterion: Some(criterion), ..self }
    }
}

impl<M, S> Callback<M> for ScoreMonitor<S>
where
    S: AsyncFnMut(&M, usize) -> Result<Scores, TrainError>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn after_update<'a>(
        &'a mut self,
        step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async move {
            let updates = step.record.step + 1;
            if !updates.is_multiple_of(self.interval) {
                return Ok(Control::Continue);
            }
            let scores = (self.score)(step.model, updates).await?;
            for (name, score) in &scores {
                step.record.set(name, *score);
            }
            let (Some(criterion), Some((_, score))) = (&mut self.criterion, scores.first()) else {
                return Ok(Control::Continue);
            };
            Ok(match criterion.update(*score) {
                Control::Stop(reason) => Control::Stop(reason.at_step(step.record.step)),
                Control::Continue => Control::Continue,
            })
        })
    }

    fn save(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self.criterion.as_ref()?).ok()
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<(), TrainError> {
        let criterion = serde_json::from_value(saved);
        self.criterion = Some(criterion.map_err(|error| TrainError::State(error.to_string()))?);
        Ok(())
    }
}
