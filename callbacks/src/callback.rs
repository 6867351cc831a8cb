//! What takes part in a run, what it is shown, and what is saved.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use crate::{
    TrainError,
    early_stopping::{Control, StopReason},
};

/// A future that need not move between threads: a browser has one.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The figures of one step, by name, in the order they were first set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The step's index, from 0.
    pub step: usize,
    values: Vec<(String, f64)>,
}

impl Record {
    /// An empty record.
    pub fn new(step: usize) -> Self {
        Self { step, values: Vec::new() }
    }

    /// Sets a figure. One that is set again keeps its place and takes the new value, so that a
    /// record never holds a name twice.
    pub fn set(&mut self, name: &str, value: f64) {
        match self.values.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name.to_string(), value)),
        }
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

/// What a loop saves of a run beside the model and the optimiser, which burn's `Learner` keeps in
/// checkpoints of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Number of steps made.
    pub step: usize,
    /// Why the run ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopReason>,
    /// What each callback saved, by its name.
    pub callbacks: BTreeMap<String, serde_json::Value>,
}

/// Something that takes part in a run: it measures, decides, writes or shows.
///
/// `M` is the model, `S` the state that the loop saves: [`RunState`] in burn's `Learner`; another
/// loop may add to it. A callback that looks at neither is written for all of them: `impl<M, S>
/// Callback<M, S> for ...`.
///
/// The order within a step: gradient, [`before_update`](Self::before_update) of every callback,
/// update, [`after_update`](Self::after_update) of every callback, and
/// [`on_state`](Self::on_state) of those that want the state. The first [`Control::Stop`] ends the
/// run after the step it came in, with its update made.
///
/// Each of the three has a twin for callbacks that wait, for a tensor or a page: the loop calls
/// the twin alone, which calls the plain one unless the callback has a twin of its own. A tensor is
/// read with burn's `into_data_async` there, because a browser cannot block.
pub trait Callback<M, S = RunState> {
    /// Names the callback in errors and in the saved state; unique in a run.
    fn name(&self) -> &'static str;

    /// The gradient is known, the model not yet updated.
    ///
    /// # Errors
    ///
    /// What ends the run. The caller of the loop gets it back as it is; a callback's own error goes
    /// into [`TrainError::callback`].
    fn before_update(&mut self, _step: StepContext<'_, M>) -> Result<Control, TrainError> {
        Ok(Control::Continue)
    }

    /// [`before_update`](Self::before_update), for a callback that waits.
    fn before_update_async<'a>(
        &'a mut self,
        step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async move { self.before_update(step) })
    }

    /// The model is updated.
    ///
    /// # Errors
    ///
    /// As [`before_update`](Self::before_update).
    fn after_update(&mut self, _step: StepContext<'_, M>) -> Result<Control, TrainError> {
        Ok(Control::Continue)
    }

    /// [`after_update`](Self::after_update), for a callback that waits.
    fn after_update_async<'a>(
        &'a mut self,
        step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async move { self.after_update(step) })
    }

    /// Whether the run's state is wanted now, after `steps` steps; `stop` is set if this was the
    /// last one.
    fn wants_state(&self, _steps: usize, _stop: Option<&StopReason>) -> bool {
        false
    }

    /// The run's state, when it was wanted.
    ///
    /// # Errors
    ///
    /// As [`before_update`](Self::before_update).
    fn on_state(&mut self, _state: &S) -> Result<(), TrainError> {
        Ok(())
    }

    /// [`on_state`](Self::on_state), for a callback that waits.
    fn on_state_async<'a>(
        &'a mut self,
        state: &'a S,
    ) -> LocalBoxFuture<'a, Result<(), TrainError>> {
        Box::pin(async move { self.on_state(state) })
    }

    /// What this callback must know to go on after a restart; none if it needs nothing.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] for what JSON cannot hold: a run that could not go on as it was ends.
    fn save(&self) -> Result<Option<serde_json::Value>, TrainError> {
        Ok(None)
    }

    /// Takes back what [`save`](Self::save) gave.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] for what it did not save.
    fn restore(&mut self, _saved: serde_json::Value) -> Result<(), TrainError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_each_name_once() {
        let mut record = Record::new(2);
        for (name, value) in [("loss", 1.0), ("eval_loss", 2.0), ("loss", 3.0)] {
            record.set(name, value);
        }
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(json, r#"{"step":2,"loss":3.0,"eval_loss":2.0}"#);
    }
}
