//! Event files that others' programs show: TensorBoard's and W&B's.
//!
//! Both hold the times of their events and W&B's also an id made of one; nothing else differs
//! between two runs with the same options.

mod sink;
mod tensorboard;
mod wandb;

use std::{cell::RefCell, path::Path, rc::Rc, time::SystemTime};

use serde_json::{Map, Value};

use super::Saves;
use crate::{
    early_stopping::{Control, StopReason},
    trainer::{Callback, StepContext, TrainError},
};

pub use sink::{LoggerError, RunName};

use sink::{Png, Sink};
use tensorboard::TensorBoard;
use wandb::Wandb;

/// Logs the figures of each step, and the pictures that it is given, as TensorBoard or W&B reads
/// them. Clones write to the same log: one takes part in the run, another is given its pictures.
///
/// A run that is resumed at a step goes on as if it had never been further; see the constructors.
#[derive(Clone)]
pub struct EventLogger {
    sink: Rc<RefCell<dyn Sink>>,
    first: usize,
    saves: Saves,
}

impl EventLogger {
    /// Logs to event files in `folder`, for `tensorboard --logdir`, with the options in `config`
    /// as text.
    ///
    /// A run that goes on at `step` gets a file of its own, whose beginning tells TensorBoard to
    /// forget the later steps of the files before. With each saved state the log reaches the disk.
    ///
    /// # Errors
    ///
    /// [`LoggerError::File`] if the folder or a file cannot be made.
    pub fn tensorboard(
        folder: &Path,
        config: &Map<String, Value>,
        step: usize,
        saves: Saves,
    ) -> Result<Self, LoggerError> {
        Ok(Self::new(TensorBoard::open(folder, config, step, now())?, step, saves))
    }

    /// Logs to an offline run in `folder`, `wandb/offline-run-TIME-ID`, for `wandb sync`.
    ///
    /// A run that goes on at `step` goes on in the same run: later steps are cut off first.
    /// With each saved state the log reaches the disk.
    ///
    /// # Errors
    ///
    /// [`LoggerError::File`] if the folder or a file cannot be made or read,
    /// [`LoggerError::Resume`] if fewer steps were logged than made.
    pub fn wandb(
        folder: &Path,
        name: &RunName<'_>,
        config: &Map<String, Value>,
        step: usize,
        saves: Saves,
    ) -> Result<Self, LoggerError> {
        Ok(Self::new(Wandb::open(folder, name, config, step, now())?, step, saves))
    }

    fn new(sink: impl Sink + 'static, first: usize, saves: Saves) -> Self {
        Self { sink: Rc::new(RefCell::new(sink)), first, saves }
    }

    /// Logs a picture, given as a PNG file's bytes. `step` is that of the step's record within a
    /// step, and the number of steps made outside of the loop; it never goes back. What a resumed
    /// run had logged before it was interrupted is left out.
    ///
    /// # Errors
    ///
    /// [`LoggerError::NotPng`], or [`LoggerError::File`] if the log cannot be written.
    pub fn picture(&self, name: &str, step: usize, png: &[u8]) -> Result<(), LoggerError> {
        if step < self.first {
            return Ok(());
        }
        let png = Png::new(png).ok_or_else(|| LoggerError::NotPng { name: name.into() })?;
        self.sink.borrow_mut().picture(name, step, png, now())
    }

    /// Ends the log of a run that is over after `steps` steps, with figures of the whole run. A
    /// run that failed or was interrupted is not ended.
    ///
    /// # Errors
    ///
    /// [`LoggerError::File`] if the log cannot be written.
    pub fn finish(&self, steps: usize, summary: &[(&str, f64)]) -> Result<(), LoggerError> {
        let mut sink = self.sink.borrow_mut();
        sink.finish(steps, summary, now())?;
        sink.sync()
    }
}

impl<M, S> Callback<M, S> for EventLogger {
    fn name(&self) -> &'static str {
        "logger"
    }

    fn after_update(&mut self, step: StepContext<'_, M>) -> Result<Control, TrainError> {
        self.sink.borrow_mut().figures(step.record, now())?;
        Ok(Control::Continue)
    }

    fn wants_state(&self, steps: usize, stop: Option<&StopReason>) -> bool {
        self.saves.wants(steps, stop)
    }

    /// The log reaches the disk before the state that counts its steps.
    fn on_state(&mut self, _state: &S) -> Result<(), TrainError> {
        Ok(self.sink.borrow_mut().sync()?)
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::png::encode_png;

    #[test]
    fn a_picture_that_is_no_png_is_refused_and_one_of_before_the_resumed_step_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let logger =
            EventLogger::tensorboard(folder.path(), &Map::new(), 7, Saves::every(1)).unwrap();
        let file = folder.path().join("events.out.tfevents.0000000000.dvar");
        let before = std::fs::read(&file).unwrap();
        let png = encode_png(3, 2, &[9; 18]).unwrap();
        assert!(matches!(logger.picture("cat", 7, &png[1..]), Err(LoggerError::NotPng { .. })));
        assert!(matches!(logger.picture("cat", 7, &png[..20]), Err(LoggerError::NotPng { .. })));
        logger.picture("cat", 6, &png).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), before);
        logger.picture("cat", 7, &png).unwrap();
        assert!(std::fs::read(&file).unwrap().len() > before.len() + png.len());
    }
}
