//! The parts of a run around its training: how far each is, and an end by Ctrl-C, since there is nothing
//! that would be lost.

use std::sync::atomic::Ordering;

use crate::{
    callbacks::Interrupt,
    cli::{CliError, bar::Bar},
};

/// A part of a run.
pub(super) struct Part {
    bar: Bar,
    interrupt: Interrupt,
}

impl Part {
    pub(super) fn new(name: &'static str, interrupt: &Interrupt) -> Self {
        Self { bar: Bar::new(name), interrupt: interrupt.clone() }
    }

    /// Shows that it begins.
    pub(super) fn begin(&self) {
        self.bar.begin();
    }

    /// Shows that `done` of `total` are made.
    ///
    /// # Errors
    ///
    /// [`CliError::Interrupted`] once the user asked for the end.
    pub(super) fn told(&self, done: usize, total: usize) -> Result<(), CliError> {
        if self.interrupt.0.load(Ordering::Relaxed) {
            self.bar.end();
            return Err(CliError::Interrupted);
        }
        self.bar.show(done, total);
        Ok(())
    }
}
