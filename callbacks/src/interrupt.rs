//! A polite end on request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    Callback, StepContext, TrainError,
    early_stopping::{Control, StopReason},
};

/// Ends the run after the current step once the flag is set (by Ctrl-C, or a page's button), with
/// [`StopReason::Interrupted`]. Clones share the flag: one takes part in the run, another is kept to set it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(pub Arc<AtomicBool>);

impl<M, S> Callback<M, S> for Interrupt {
    fn name(&self) -> &'static str {
        "interrupt"
    }

    fn after_update(&mut self, step: StepContext<'_, M>) -> Result<Control, TrainError> {
        Ok(if self.0.load(Ordering::Relaxed) {
            Control::Stop(StopReason::Interrupted { steps: step.record.step + 1 })
        } else {
            Control::Continue
        })
    }
}
