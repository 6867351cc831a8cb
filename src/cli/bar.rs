//! How far a part of a command is, on a terminal.

use std::cell::RefCell;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    pipelines::{DrawProgress, PipelineError},
    trainer::LocalBoxFuture,
};

/// A line that is redrawn on standard error, while there is something to do.
pub(super) struct Bar {
    name: &'static str,
    shown: RefCell<Option<ProgressBar>>,
}

impl Bar {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, shown: RefCell::default() }
    }

    /// `done` of `total` are made; the line goes when all are.
    pub(super) fn show(&self, done: usize, total: usize) {
        let mut shown = self.shown.borrow_mut();
        if done == total {
            shown.take().inspect(ProgressBar::finish_and_clear);
            return;
        }
        let bar = shown.get_or_insert_with(|| {
            let bar = ProgressBar::new(total as u64).with_prefix(self.name);
            match ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {eta} left") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        bar.set_position(done as u64);
    }
}

impl DrawProgress for Bar {
    fn denoised<'a>(
        &'a self,
        done: usize,
        total: usize,
    ) -> LocalBoxFuture<'a, Result<(), PipelineError>> {
        self.show(done, total);
        Box::pin(async { Ok(()) })
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.show(0, 0);
    }
}
