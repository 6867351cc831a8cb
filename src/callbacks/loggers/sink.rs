//! What every format of logs has: its operations, its errors, and what it is given.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::trainer::{Record, TrainError};

/// Why events could not be logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
pub(super) trait Sink {
    fn figures(&mut self, record: &Record, now: f64) -> Result<(), LoggerError>;
    fn picture(&mut self, name: &str, step: usize, png: Png, now: f64) -> Result<(), LoggerError>;
    fn finish(&mut self, step: usize, summary: &[(&str, f64)], now: f64)
    -> Result<(), LoggerError>;
    /// Everything so far reaches the disk.
    fn sync(&mut self) -> Result<(), LoggerError>;
}

impl From<LoggerError> for TrainError {
    fn from(error: LoggerError) -> Self {
        Self::callback("logger", error)
    }
}

/// The bytes of a PNG file and what its header says.
#[derive(Clone, Copy)]
pub(super) struct Png<'a> {
    pub bytes: &'a [u8],
    pub width: u32,
    pub height: u32,
}

impl<'a> Png<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")?;
        let (width, rest) = header.split_first_chunk()?;
        let height = rest.first_chunk()?;
        let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
        Some(Self { bytes, width, height })
    }
}

/// Says which file or folder failed.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> LoggerError {
    move |source| LoggerError::File { path: path.to_path_buf(), source }
}
