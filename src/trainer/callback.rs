//! What may look at a run, and end it.

use std::{future::Future, pin::Pin};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{TrainError, TrainState};
use crate::early_stopping::{Control, StopReason};

/// A future that need not move between threads: a browser has one.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The figures of one step, by name, in the order they were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Counted from 0.
    pub step: usize,
    values: Vec<(String, f64)>,
}

impl Record {
    /// An empty record.
    pub fn new(step: usize) -> Self {
        Self { step, values: Vec::new() }
    }

    /// Sets a figure, once a step.
    pub fn set(&mut self, name: &str, value: f64) {
        self.values.push((name.to_string(), value));
    }

    /// A figure of this step.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// All figures of this step.
    pub fn figures(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.values.len()))?;
        map.serialize_entry("step", &self.step)?;
        self.values.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

/// What a callback is shown: the model, and the step's figures, to which it may add.
#[derive(Debug)]
pub struct StepContext<'a, M> {
    /// What is being trained.
    pub model: &'a M,
    /// This step's figures.
    pub record: &'a mut Record,
}

/// Something that takes part in a run: it measures, decides, writes or shows. The same callback
/// serves this crate's trainer and burn's `Learner`, which waits for its futures.
///
/// The order within a step: gradient, [`before_update`](Self::before_update) of every callback,
/// update, [`after_update`](Self::after_update) of every callback, and
/// [`on_state`](Self::on_state) of those that want the state. The first
/// [`Control::Stop`] ends the run after the step it came in, with its update made.
pub trait Callback<M> {
    /// Names the callback in errors and in the saved state; unique in a run.
    fn name(&self) -> &'static str;

    /// The gradient is known, the model not yet updated.
    fn before_update<'a>(
        &'a mut self,
        _step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async { Ok(Control::Continue) })
    }

    /// The model is updated.
    fn after_update<'a>(
        &'a mut self,
        _step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async { Ok(Control::Continue) })
    }

    /// Whether the run's state is wanted now; `stop` is set if this was the last step.
    fn wants_state(&self, _step: usize, _stop: Option<&StopReason>) -> bool {
        false
    }

    /// The run's state, when it was wanted.
    fn on_state<'a>(
        &'a mut self,
        _state: &'a TrainState,
    ) -> LocalBoxFuture<'a, Result<(), TrainError>> {
        Box::pin(async { Ok(()) })
    }

    /// What this callback must know to go on after a restart.
    fn save(&self) -> Option<serde_json::Value> {
        None
    }

    /// Takes back what [`save`](Self::save) gave.
    fn restore(&mut self, _saved: serde_json::Value) -> Result<(), TrainError> {
        Ok(())
    }
}
