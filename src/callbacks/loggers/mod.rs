//! Event files that others' programs show: TensorBoard's and W&B's.
//!
//! Both hold the times of their events and W&B's also an id made of one; nothing else differs
//! between two runs with the same options.

mod tensorboard;
mod wandb;

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
    rc::Rc,
    time::SystemTime,
};

use serde_json::{Map, Value};

use crate::{
    early_stopping::{Control, StopReason},
    trainer::{Callback, Record, StepContext, TrainError},
};
use tensorboard::TensorBoard;
use wandb::Wandb;

/// Why events could not be logged.
#[derive(Debug, thiserror::Error)]
pub enum LoggerError {
    /// A file or folder could not be read or written.
    #[error("cannot write the log `{path}`: {source}; free some space or choose another folder")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A picture is no PNG file.
    #[error("the picture `{name}` is no PNG file; encode it first")]
    NotPng {
        /// The name it was to be logged by.
        name: String,
    },
    /// The log of the interrupted run lacks what it should hold.
    #[error("the log `{path}` has {found} of the {steps} steps made; start the run anew")]
    Resume {
        /// The file or folder.
        path: PathBuf,
        /// Steps that it has.
        found: usize,
        /// Steps that the run has made.
        steps: usize,
    },
}

/// What a run is called where it is logged.
#[derive(Clone, Copy, Debug)]
pub struct RunName<'a> {
    /// The project that the run belongs to.
    pub project: &'a str,
    /// The run's own name; it need not be unique.
    pub name: &'a str,
    /// The W&B user or team; open: that of whoever sends the run.
    pub entity: Option<&'a str>,
}

/// A format of logs; `now` is in seconds since 1970.
trait Sink {
    fn figures(&mut self, record: &Record, now: f64) -> Result<(), LoggerError>;
    fn picture(&mut self, name: &str, step: usize, png: Png, now: f64) -> Result<(), LoggerError>;
    fn finish(&mut self, step: usize, summary: &[(&str, f64)], now: f64)
    -> Result<(), LoggerError>;
    /// Everything so far reaches the disk.
    fn sync(&mut self) -> Result<(), LoggerError>;
}

/// Logs the figures of each step, and the pictures that it is given, as TensorBoard or W&B reads
/// them. Clones write to the same log: one takes part in the run, another is given its pictures.
///
/// A run that is resumed at a step goes on as if it had never been further; see the constructors.
#[derive(Clone)]
pub struct EventLogger {
    sink: Rc<RefCell<dyn Sink>>,
    first: usize,
    interval: usize,
}

impl EventLogger {
    /// Logs to event files in `folder`, for `tensorboard --logdir`, with the options in `config`
    /// as text.
    ///
    /// A run that goes on at `step` gets a file of its own, whose beginning tells TensorBoard to
    /// forget the later steps of the files before. Every `interval` steps the log reaches the disk.
    ///
    /// # Errors
    ///
    /// [`LoggerError::File`] if the folder or a file cannot be made.
    pub fn tensorboard(
        folder: &Path,
        config: &Map<String, Value>,
        step: usize,
        interval: usize,
    ) -> Result<Self, LoggerError> {
        Ok(Self::new(TensorBoard::open(folder, config, step, now())?, step, interval))
    }

    /// Logs to an offline run in `folder`, `wandb/offline-run-TIME-ID`, for `wandb sync`.
    ///
    /// A run that goes on at `step` goes on in the same run: later steps are cut off first. Every
    /// `interval` steps the log reaches the disk.
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
        interval: usize,
    ) -> Result<Self, LoggerError> {
        Ok(Self::new(Wandb::open(folder, name, config, step, now())?, step, interval))
    }

    fn new(sink: impl Sink + 'static, first: usize, interval: usize) -> Self {
        Self { sink: Rc::new(RefCell::new(sink)), first, interval }
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

impl From<LoggerError> for TrainError {
    fn from(error: LoggerError) -> Self {
        Self::Callback { callback: "logger".into(), source: error.into() }
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
        stop.is_some() || steps.is_multiple_of(self.interval)
    }

    /// The log reaches the disk before the state that counts its steps.
    fn on_state(&mut self, _state: &S) -> Result<(), TrainError> {
        Ok(self.sink.borrow_mut().sync()?)
    }
}

/// The bytes of a PNG file and what its header says.
#[derive(Clone, Copy)]
struct Png<'a> {
    bytes: &'a [u8],
    width: u32,
    height: u32,
}

impl<'a> Png<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")?;
        let (width, rest) = header.split_first_chunk()?;
        let height = rest.first_chunk()?;
        let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
        Some(Self { bytes, width, height })
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64())
}

/// Says which file or folder failed.
fn at(path: &Path) -> impl FnOnce(io::Error) -> LoggerError {
    move |source| LoggerError::File { path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::png::encode_png;

    #[test]
    fn a_picture_that_is_no_png_is_refused_and_one_of_before_the_resumed_step_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let logger = EventLogger::tensorboard(folder.path(), &Map::new(), 7, 1).unwrap();
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
