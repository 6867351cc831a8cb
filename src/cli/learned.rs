//! Files of what was learned: an embedding, and what a method changed in the denoiser.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::CliError;
use crate::{
    concept::LearnedAdapter,
    embedding::{self, LearnedEmbedding},
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

/// Reads a file, but at most `limit + 1` bytes of it: more than `limit` bytes say that it is longer,
/// and a wrong file of any size costs no more.
fn read_limited(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_read_one_byte_past_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_limited(&path, 10).unwrap(), [7; 11]);
        assert_eq!(read_limited(&path, 100).unwrap(), [7; 100]);
    }
}
