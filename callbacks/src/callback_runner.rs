//! What every loop does with its callbacks; a loop of one's own takes them by this.
//!
//! ```
//! # use burn::nn::Linear;
//! use dvar_callbacks::{Callback, Record, TrainError, callback_runner, early_stopping::StopReason};
//!
//! async fn train(
//!     mut model: Linear,
//!     update: impl Fn(Linear) -> Linear,
//!     callbacks: &mut [Box<dyn Callback<Linear>>],
//! ) -> Result<(Linear, StopReason), TrainError> {
//!     callback_runner::check_names(callbacks)?;
//!     for step in 0..1000 {
//!         let (mut record, mut stops) = (Record::new(step), Vec::new());
//!         callback_runner::before_update(callbacks, &model, &mut record, &mut stops).await?;
//!         model = update(model);
//!         callback_runner::after_update(callbacks, &model, &mut record, &mut stops).await?;
//!         if !stops.is_empty() {
//!             return Ok((model, stops.remove(0)));
//!         }
//!     }
//!     Ok((model, StopReason::MaxSteps { steps: 1000 }))
//! }
//! ```
//!
//! `pollster::block_on` waits for such a loop where no browser runs it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Callback, Record, StepContext, TrainError,
    early_stopping::{Control, StopReason},
};

/// Asks every callback before the update; `stops` takes each stop that one asks for.
///
/// # Errors
///
/// The first error of a callback, unchanged.
pub async fn before_update<M, S, C: Callback<M, S> + ?Sized>(
    callbacks: &mut [Box<C>],
    model: &M,
    record: &mut Record,
    stops: &mut Vec<StopReason>,
) -> Result<(), TrainError> {
    for callback in callbacks {
        keep(stops, callback.before_update_async(StepContext { model, record }).await?);
    }
    Ok(())
}

/// Asks every callback after the update; `stops` takes each stop that one asks for.
///
/// # Errors
///
/// The first error of a callback, unchanged.
pub async fn after_update<M, S, C: Callback<M, S> + ?Sized>(
    callbacks: &mut [Box<C>],
    model: &M,
    record: &mut Record,
    stops: &mut Vec<StopReason>,
) -> Result<(), TrainError> {
    for callback in callbacks {
        keep(stops, callback.after_update_async(StepContext { model, record }).await?);
    }
    Ok(())
}

fn keep(stops: &mut Vec<StopReason>, control: Control) {
    if let Control::Stop(reason) = control {
        stops.push(reason);
    }
}

/// Whether any callback wants the state after `steps` steps.
pub fn wanted<M, S, C: Callback<M, S> + ?Sized>(
    callbacks: &[Box<C>],
    steps: usize,
    stop: Option<&StopReason>,
) -> bool {
    callbacks.iter().any(|callback| callback.wants_state(steps, stop))
}

/// Gives the state after `steps` steps to the callbacks that want it.
///
/// # Errors
///
/// The first error of a callback, unchanged.
pub async fn share<M, S, C: Callback<M, S> + ?Sized>(
    callbacks: &mut [Box<C>],
    steps: usize,
    stop: Option<&StopReason>,
    state: &S,
) -> Result<(), TrainError> {
    for callback in callbacks {
        if callback.wants_state(steps, stop) {
            callback.on_state_async(state).await?;
        }
    }
    Ok(())
}

/// What each callback must know to go on, by its name.
///
/// # Errors
///
/// The first error of a callback, unchanged.
pub fn save<M, S, C: Callback<M, S> + ?Sized>(
    callbacks: &[Box<C>],
) -> Result<BTreeMap<String, serde_json::Value>, TrainError> {
    let mut saved = BTreeMap::new();
    for callback in callbacks {
        if let Some(value) = callback.save()? {
            saved.insert(callback.name().to_string(), value);
        }
    }
    Ok(saved)
}

/// Gives each callback back what [`save`] took.
///
/// # Errors
///
/// [`TrainError::State`] if a callback refuses it, or lacks what it would save.
pub fn restore<M, S, C: Callback<M, S> + ?Sized>(
    callbacks: &mut [Box<C>],
    saved: &BTreeMap<String, serde_json::Value>,
) -> Result<(), TrainError> {
    for callback in callbacks {
        match saved.get(callback.name()) {
            Some(saved) => callback.restore(saved.clone())?,
            None if callback.save()?.is_none() => {}
            None => {
                let name = callback.name();
                return Err(TrainError::state(format!(
                    "the saved state lacks `{name}`; go on with the callbacks that the run began \
                     with, or start it anew"
                )));
            }
        }
    }
    Ok(())
}

/// Two callbacks of one name would overwrite each other's saved state, and two evaluations of one
/// name each other's figures.
///
/// # Errors
///
/// [`TrainError::Callback`] that names them.
pub fn check_names<M, S, C: Callback<M, S> + ?Sized>(
    callbacks: &[Box<C>],
) -> Result<(), TrainError> {
    let mut seen = BTreeSet::new();
    for name in callbacks.iter().map(|callback| callback.name()) {
        if !seen.insert(name) {
            return Err(TrainError::callback(
                name,
                "two callbacks have this name, `named` gives another",
            ));
        }
    }
    Ok(())
}
