//! The bytes of a pickle, read from front to back.

use super::TorchError;

const ENDS_EARLY: TorchError = TorchError::Pickle("it ends too early");

/// What is still to be read.
#[derive(Default)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], TorchError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.0 = rest;
        Ok(*array)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], TorchError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ENDS_EARLY)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn text(&mut self, length: usize) -> Result<&'a str, TorchError> {
        let not_utf8 = |_| TorchError::Pickle("a text that is not UTF-8");
        str::from_utf8(self.take(length)?).map_err(not_utf8)
    }

    /// A text up to the end of its line.
    pub fn line(&mut self) -> Result<&'a str, TorchError> {
        let length = self.0.iter().position(|byte| *byte == b'\n').ok_or(ENDS_EARLY)?;
        let line = self.text(length)?;
        self.take(1)?;
        Ok(line)
    }
}
