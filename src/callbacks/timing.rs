//! How long a run took, apart from everything else, so that all other files repeat byte for byte.

use std::{
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::Saves;
use crate::{
    early_stopping::StopReason,
    files::write_atomic,
    trainer::{Callback, TrainError},
};

/// Writes `timing.json` at every checkpoint: the seconds since training began, over all parts of a
/// resumed run, samples on the way included.
#[derive(Debug)]
pub struct Timing {
    path: PathBuf,
    saves: Saves,
    before: f64,
    start: Instant,
}

/// The content of `timing.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// From the first step to the last checkpoint.
    pub train_seconds: f64,
}

impl Timing {
    /// The clock starts now, at what an earlier part of the run left if it is `resumed`.
    ///
    /// # Errors
    ///
    /// If that file is there and cannot be read; [`io::ErrorKind::InvalidData`] if it is none of a run's.
    pub fn open(path: &Path, saves: Saves, resumed: bool) -> io::Result<Self> {
        let broken = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let before = match std::fs::read(path) {
            Ok(bytes) if resumed => {
                serde_json::from_slice::<Seconds>(&bytes).map_err(broken)?.train_seconds
            }
            Ok(_) => 0.0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0.0,
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_path_buf(), saves, before, start: Instant::now() })
    }
}

impl<M, S> Callback<M, S> for Timing {
    fn name(&self) -> &'static str {
        "timing"
    }

    fn wants_state(&self, steps: usize, stop: Option<&StopReason>) -> bool {
        self.saves.wants(steps, stop)
    }

    fn on_state(&mut self, _state: &S) -> Result<(), TrainError> {
        let seconds = Seconds { train_seconds: self.before + self.start.elapsed().as_secs_f64() };
        let json = serde_json::to_vec(&seconds).map_err(io::Error::from);
        json.and_then(|json| write_atomic(&self.path, &json)).map_err(|error| {
            let message = format!("cannot write `{}`: {error}", self.path.display());
            TrainError::callback("timing", message)
        })
    }
}
