//! Files that commands read.

use std::{fs, io, path::Path};

use super::CliError;

/// A file's content.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| CliError::read(path, error))
}

/// A file's content as text.
pub(super) fn text(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|error| CliError::read(path, error))
}

/// What was read, or none where there is no such file.
pub(super) fn if_there<T>(read: Result<T, CliError>) -> Result<Option<T>, CliError> {
    match read {
        Err(CliError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
