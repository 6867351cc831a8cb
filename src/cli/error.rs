//! What the user is told when a command fails.

use std::{fmt, process::ExitCode};

use crate::{
    concept::AdapterError, embedding::EmbeddingError, pipelines::PipelineError,
    session::SessionError, tensor::DeviceError,
};

/// A failed command.
#[derive(Debug)]
pub enum CliError {
    /// What was asked for cannot be done as asked: exit code 2.
    Input(String),
    /// Something failed on the way: exit code 1.
    Failed(String),
    /// Ended by the user, with everything saved: exit code 130.
    Interrupted,
}

impl CliError {
    /// The process' exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Input(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::from(1),
            Self::Interrupted => ExitCode::from(130),
        }
    }

    pub(super) fn input(error: impl fmt::Display) -> Self {
        Self::Input(error.to_string())
    }

    pub(super) fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// A device that failed.
    pub(super) fn device(error: impl fmt::Display) -> Self {
        Self::Failed(DeviceError::new(error).to_string())
    }

    /// A file that could not be written.
    pub(super) fn write(path: &std::path::Path, error: std::io::Error) -> Self {
        Self::Failed(format!(
            "cannot write `{}`: {error}; free some space or choose another folder",
            path.display()
        ))
    }
}

/// A session fails by what it was given, unless the device fails.
impl From<SessionError> for CliError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Pipeline(PipelineError::Device(_))
            | SessionError::Embedding(EmbeddingError::Device(_))
            | SessionError::Adapter(AdapterError::Device(_)) => Self::failed(error),
            _ => Self::input(error),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(message) | Self::Failed(message) => f.write_str(message),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}
