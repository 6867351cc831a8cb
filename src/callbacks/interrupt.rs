//! A polite end on request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    early_stopping::{Control, StopReason},
    trainer::{Callback, LocalBoxFuture, StepContext, TrainError},
};

/// Ends the run after the current step once the flag is set (by Ctrl-C, or a page's button).
#[derive(Clone, Debug, Default)]
pub struct Interrupt(pub Arc<AtomicBool>);

impl<M> Callback<M> for Interrupt {
    fn name(&self) -> &'static str {
        "interrupt"
    }

    fn after_update<'a>(
        &'a mut self,
        step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async move {
            Ok(match self.0.load(Ordering::Relaxed) {
                true => Control::Stop(StopReason::Interrupted { step: step.record.step + 1 }),
                false => Control::Continue,
            })
        })
    }
}
