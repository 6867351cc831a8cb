//! `metrics.jsonl`: one line of JSON for each step.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::Saves;
use crate::{
    early_stopping::{Control, StopReason},
    files::{if_supported, write_atomic},
    trainer::{Callback, StepContext, TrainError},
};

/// Appends each step's record. The lines hold no clock times, so that the same run writes the
/// same bytes. It comes after the callbacks whose figures it is to hold: they are asked in order.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    saves: Saves,
}

impl MetricsLog {
    /// Opens the log of a run that goes on at `step`: later lines, and one that was cut off, are
    /// dropped first, by a whole new file. With each saved state the lines so far reach the disk.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written, or has fewer whole lines than the run has steps.
    pub fn open(path: &Path, step: usize, saves: Saves) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let kept: Vec<&str> = whole.take(step).collect();
        if kept.len() < step {
            let message = format!("it has {} lines for the {step} steps made", kept.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        write_atomic(path, kept.concat().as_bytes())?;
        let file = File::options().append(true).open(path)?;
        Ok(Self { path: path.to_path_buf(), file, saves })
    }

    fn failed(&self, error: io::Error) -> TrainError {
        let message = format!("cannot write `{}`: {error}", self.path.display());
        TrainError::callback("metrics", message)
    }
}

impl<M, S> Callback<M, S> for MetricsLog {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn after_update(&mut self, step: StepContext<'_, M>) -> Result<Control, TrainError> {
        let line = serde_json::to_string(step.record).map_err(io::Error::from);
        let written = line.and_then(|line| self.file.write_all(format!("{line}\n").as_bytes()));
        written.map_err(|error| self.failed(error))?;
        Ok(Control::Continue)
    }

    fn wants_state(&self, steps: usize, stop: Option<&StopReason>) -> bool {
        self.saves.wants(steps, stop)
    }

    /// The log reaches the disk before the state that counts its lines.
    fn on_state(&mut self, _state: &S) -> Result<(), TrainError> {
        if_supported(self.file.sync_data()).map_err(|error| self.failed(error))
    }
}
