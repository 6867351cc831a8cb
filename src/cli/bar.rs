//! How far a part of a command is, on a terminal.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::pace::Pace;
use crate::{
    pipelines::{DrawProgress, PipelineError},
    trainer::LocalBoxFuture,
};

/// What turns while something goes on: the usual dots are in few of the fonts of Windows' old console.
pub(super) const TURNING: &str = r"|/-\ ";

/// A line that is redrawn on standard error, while there is something to do; where that is no terminal, a
/// line every few minutes.
pub(super) struct Bar {
    name: &'static str,
    pace: Cell<Pace>,
    shown: RefCell<Option<ProgressBar>>,
}

impl Bar {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, pace: Cell::new(Pace::new(0)), shown: RefCell::default() }
    }

    /// It begins now, and nothing is known of how long it takes: its first part may take minutes.
    pub(super) fn begin(&self) {
        self.end();
        self.pace.set(Pace::new(0));
        let bar = self.line("{spinner} {prefix} {elapsed}");
        bar.enable_steady_tick(Duration::from_millis(100));
        self.shown.replace(Some(bar));
    }

    /// It is over, or is to be hidden.
    pub(super) fn end(&self) {
        self.shown.take().inspect(ProgressBar::finish_and_clear);
    }

    /// `done` of `total` are made; the line goes when all are.
    pub(super) fn show(&self, done: usize, total: usize) {
        if done == total {
            return self.end();
        }
        let mut pace = self.pace.get();
        let left = pace.left(done, total).map_or(String::new(), |left| format!("{left:#} left"));
        let mut shown = self.shown.borrow_mut();
        let bar = match shown.take() {
            Some(bar) if bar.length().is_some() => bar,
            begun => {
                begun.inspect(ProgressBar::finish_and_clear);
                let bar = self.line("{prefix} {bar:24} {pos}/{len} {msg}");
                bar.set_length(total as u64);
                bar
            }
        };
        bar.set_message(left.clone());
        bar.set_position(done as u64);
        if bar.is_hidden() && pace.is_due() {
            eprintln!("{} {done}/{total}  {left}", self.name);
        }
        self.pace.set(pace);
        *shown = Some(bar);
    }

    fn line(&self, template: &str) -> ProgressBar {
        let bar = ProgressBar::new_spinner().with_prefix(self.name);
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style.tick_chars(TURNING)),
            Err(_) => bar,
        }
    }
}

impl DrawProgress for Bar {
    fn denoised<'a>(
        &'a self,
        done: usize,
        total: usize,
    ) -> LocalBoxFuture<'a, Result<(), PipelineError>> {
        match done == total {
            // they are yet to be decoded
            true => self.begin(),
            false => self.show(done, total),
        }
        Box::pin(async { Ok(()) })
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_waits_then_counts_and_goes_when_all_is_made() {
        let bar = Bar::new("samples");
        let length = || bar.shown.borrow().as_ref().map(ProgressBar::length);
        bar.begin();
        assert_eq!(length(), Some(None), "nothing is counted yet");
        bar.show(1, 400);
        assert_eq!(length(), Some(Some(400)));
        bar.show(400, 400);
        assert_eq!(length(), None);
    }

    #[test]
    fn a_drawing_is_shown_until_its_last_pictures_are_decoded() {
        let bar = Bar::new("drawing");
        let length = || bar.shown.borrow().as_ref().map(ProgressBar::length);
        pollster::block_on(bar.denoised(3, 4)).unwrap();
        assert_eq!(length(), Some(Some(4)));
        pollster::block_on(bar.denoised(4, 4)).unwrap();
        assert_eq!(length(), Some(None), "it goes on, and nothing is counted any more");
        bar.end();
        assert_eq!(length(), None);
    }
}
