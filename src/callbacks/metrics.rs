//! `metrics.jsonl`: one line of JSON for each step.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    early_stopping::Control,
    files::write_atomic,
    trainer::{Callback, LocalBoxFuture, StepContext, TrainError},
};

/// Appends each step's record. The lines hold no clock times, so that the same run writes the
/// same bytes.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the log of a run that goes on at `step`: later lines, and one that was cut off, are
    /// dropped first, by a whole new file.
    pub fn open(path: &Path, step: usize) -> io::Result<Self> {
        let kept: String = match std::fs::read_to_string(path) {
            Ok(text) => text.split_inclusive('\n').take(step).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        write_atomic(path, kept.as_bytes())?;
        let file = File::options().append(true).open(path)?;
        Ok(Self { path: path.to_path_buf(), file })
    }
}

impl<M> Callback<M> for MetricsLog {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn after_update<'a>(
        &'a mut self,
        step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async move {
            let line = serde_json::to_string(step.record).map_err(io::Error::from);
            line.and_then(|line| self.file.write_all(format!("{line}\n").as_bytes())).map_err(
                |error| TrainError::Callback {
                    callback: "metrics".into(),
                    source: format!("cannot write `{}`: {error}", self.path.display()).into(),
                },
            )?;
            Ok(Control::Continue)
        })
    }
}
