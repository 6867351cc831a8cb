//! Files of what was learned: an embedding, and what a method changed in the denoiser.

use std::path::Path;

use super::CliError;
use crate::{
    concept::LearnedAdapter,
    embedding::{self, LearnedEmbedding},
    files::read_limited,
};

/// The largest adapter that is read: a LoRA of rank 1024 of a full-size model.
const MAX_ADAPTER_BYTES: usize = 2 << 30;

/// Reads an embedding file of any known format.
pub(super) fn read_embedding(path: &Path) -> Result<LearnedEmbedding, CliError> {
    let bytes = read_limited(path, embedding::MAX_FILE_BYTES);
    let bytes = bytes.map_err(|error| CliError::read(path, error))?;
    Ok(embedding::read(&bytes, &path.display().to_string())?)
}

/// Reads an adapter that `dvar train` wrote.
pub(super) fn read_adapter(path: &Path) -> Result<LearnedAdapter, CliError> {
    let bytes = read_limited(path, MAX_ADAPTER_BYTES);
    let bytes = bytes.map_err(|error| CliError::read(path, error))?;
    Ok(LearnedAdapter::from_bytes(&bytes, &path.display().to_string())?)
}
