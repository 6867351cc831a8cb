//! A model whose files are read piece by piece, such as from a browser's storage.

use std::{
    borrow::Cow,
    fmt::Debug,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use super::{
    ModelSource, Weights, layout,
    source::{missing, unreadable},
};
use crate::ModelError;

/// A model's files, wherever they are kept, read at once and without waiting.
pub trait FileSource: Debug + Send + Sync {
    /// A file's length in bytes, or `None` where there is no such file.
    fn size(&self, file: &str) -> Option<u64>;

    /// The `length` bytes from `offset` on, all of them.
    ///
    /// # Errors
    ///
    /// If they cannot be read, in words that fit after "cannot read `file`: ".
    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// Files that are read piece by piece; of weights, no two tensors are in memory.
#[derive(Clone, Debug)]
pub struct Pieces(pub Arc<dyn FileSource>);

impl ModelSource for Pieces {
    fn has(&self, file: &str) -> bool {
        self.0.size(file).is_some()
    }

    fn read(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        let size = self.0.size(file).ok_or_else(|| missing(file.into()))?;
        let bytes = usize::try_from(size).map_err(io::Error::other);
        let bytes = bytes.and_then(|size| self.0.read(file, 0, size));
        bytes.map(Cow::Owned).map_err(|error| unreadable(file.into(), &error))
    }

    fn weights(&self, part: &str) -> Result<Weights, ModelError> {
        layout::weights(self, part, |file| {
            SourceReader::new(&self.0, file).ok_or_else(|| missing(file.into()))
        })
    }
}

/// One file of a source, from its begin to its end.
struct SourceReader {
    source: Arc<dyn FileSource>,
    file: String,
    size: u64,
    position: u64,
}

impl SourceReader {
    fn new(source: &Arc<dyn FileSource>, file: &str) -> Option<Self> {
        let size = source.size(file)?;
        Some(Self { source: source.clone(), file: file.into(), size, position: 0 })
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.size.saturating_sub(self.position);
        let length = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        let bytes = self.source.read(&self.file, self.position, length)?;
        if bytes.len() != length {
            let message = format!("{} of {length} bytes came; fetch it again", bytes.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        buffer[..length].copy_from_slice(&bytes);
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::End(by) => (self.size, by),
            SeekFrom::Current(by) => (self.position, by),
        };
        let position = base.checked_add_signed(by);
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
