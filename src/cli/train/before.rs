//! What comes before the first step, as the terminal shows it: Ctrl-C ends the run there at once, since
//! nothing is learned yet.

use std::{cell::OnceCell, sync::atomic::Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{callbacks::Interrupt, cli::CliError};

/// How far a part of the run is.
pub(super) struct Part {
    name: &'static str,
    interrupt: Interrupt,
    /// None before something was done.
    bar: OnceCell<ProgressBar>,
}

impl Part {
    pub(super) fn new(name: &'static str, interrupt: &Interrupt) -> Self {
        Self { name, interrupt: interrupt.clone(), bar: OnceCell::new() }
    }

    /// Shows that `done` of `total` are made.
    ///
    /// # Errors
    ///
    /// [`CliError::Interrupted`] once the user asked for the end.
    pub(super) fn told(&self, done: usize, total: usize) -> Result<(), CliError> {
        if self.interrupt.0.load(Ordering::Relaxed) {
            return Err(CliError::Interrupted);
        }
        let bar = self.bar.get_or_init(|| {
            let bar = ProgressBar::new(total as u64).with_prefix(self.name);
            match ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {eta} left") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        bar.set_position(done as u64);
        if done == total {
            bar.finish_and_clear();
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
