//! What every loop does with its callbacks.

use std::collections::{BTreeMap, BTreeSet};

use super::{Callback, Record, StepContext, TrainError, TrainState};
use crate::early_stopping::{Control, StopReason};

/// Asks every callback before the update; the first stop is kept.
pub(crate) async fn before_update<M, C: Callback<M> + ?Sized>(
    callbacks: &mut [Box<C>],
    model: &M,
    record: &mut Record,
    stop: &mut Option<StopReason>,
) -> Result<(), TrainError> {
    for callback in callbacks {
        keep_first(stop, callback.before_update(StepContext { model, record }).await?);
    }
    Ok(())
}

/// Asks every callback after the update; the first stop is kept.
pub(crate) async fn after_update<M, C: Callback<M> + ?Sized>(
    callbacks: &mut [Box<C>],
    model: &M,
    record: &mut Record,
    stop: &mut Option<StopReason>,
) -> Result<(), TrainError> {
    for callback in callbacks {
        keep_first(stop, callback.after_update(StepContext { model, record }).await?);
    }
    Ok(())
}

fn keep_first(stop: &mut Option<StopReason>, control: Control) {
    if let Control::Stop(reason) = control {
        stop.get_or_insert(reason);
    }
}

/// Whether any callback wants the state after `step` steps.
pub(crate) fn wanted<M, C: Callback<M> + ?Sized>(
    callbacks: &[Box<C>],
    step: usize,
    stop: Option<&StopReason>,
) -> bool {
    callbacks.iter().any(|callback| callback.wants_state(step, stop))
}

/// Gives the state to the callbacks that want it.
pub(crate) async fn share<M, C: Callback<M> + ?Sized>(
    callbacks: &mut [Box<C>],
    state: &TrainState,
) -> Result<(), TrainError> {
    for callback in callbacks {
        if callback.wants_state(state.step, state.stop.as_ref()) {
            callback.on_state(state).await?;
        }
    }
    Ok(())
}

/// What each callback must know to go on, by its name.
pub(crate) fn save<M, C: Callback<M> + ?Sized>(
    callbacks: &[Box<C>],
) -> BTreeMap<String, serde_json::Value> {
    let saved = callbacks.iter().filter_map(|c| Some((c.name().to_string(), c.save()?)));
    saved.collect()
}

/// Gives each callback back what [`save`] took.
///
/// # Errors
///
/// [`TrainError::State`] if a callback refuses it, or lacks what it would save.
pub(crate) fn restore<M, C: Callback<M> + ?Sized>(
    callbacks: &mut [Box<C>],
    saved: &BTreeMap<String, serde_json::Value>,
) -> Result<(), TrainError> {
    for callback in callbacks {
        match saved.get(callback.name()) {
            Some(saved) => callback.restore(saved.clone())?,
            None if callback.save().is_none() => {}
            None => {
                let message = format!("the saved state lacks `{}`", callback.name());
                return Err(TrainError::State(message));
            }
        }
    }
    Ok(())
}

/// Two callbacks of one name would overwrite each other's saved state.
///
/// # Errors
///
/// [`TrainError::Callback`] that names them.
pub(crate) fn check_names<M, C: Callback<M> + ?Sized>(
    callbacks: &[Box<C>],
) -> Result<(), TrainError> {
    let mut seen = BTreeSet::new();
    let saving = callbacks.iter().filter(|callback| callback.save().is_some());
    for name in saving.map(|callback| callback.name()) {
        if !seen.insert(name) {
            return Err(TrainError::callback(
                name,
                "two callbacks have this name, `named` gives another",
            ));
        }
    }
    Ok(())
}
