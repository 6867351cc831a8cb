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
    ///
    /// # Errors
    ///
    /// Those of [`told`](Self::told).
    pub(super) fn begin(&self) -> Result<(), CliError> {
        self.check_end()?;
        self.bar.begin();
        Ok(())
    }

    /// Hides it, or shows that it is over.
    pub(super) fn end(&self) {
        self.bar.end();
    }

    /// Shows that `done` of `total` are made.
    ///
    /// # Errors
    ///
    /// [`CliError::Interrupted`] once the user asked for the end.
    pub(super) fn told(&self, done: usize, total: usize) -> Result<(), CliError> {
        self.check_end()?;
        self.bar.show(done, total);
        Ok(())
    }

    fn check_end(&self) -> Result<(), CliError> {
        if !self.interrupt.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.bar.end();
        Err(CliError::Interrupted)
    }
}
