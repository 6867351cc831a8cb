//! Where a model's files come from.

use std::{borrow::Cow, fmt::Debug, io};

use super::Tensors;
use crate::ModelError;

/// The files of one model, by their relative paths in diffusers' layout (`unet/config.json`), and
/// the weights of its parts, by diffusers' and transformers' names: whatever keeps them otherwise
/// says here what they would be there.
pub trait ModelSource: Debug + Send + Sync {
    /// How a file is named in messages.
    fn display(&self, file: &str) -> String {
        file.into()
    }

    /// Whether the file is there.
    fn has(&self, file: &str) -> bool;

    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// [`ModelError::MissingFile`] or [`ModelError::Unreadable`].
    fn read(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError>;

    /// The weights of a part: a folder's, or those in one file.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if they are missing or broken.
    fn weights(&self, part: &str) -> Result<Weights, ModelError>;

    /// The file's bytes, or `None` where there is no such file.
    ///
    /// # Errors
    ///
    /// [`ModelError::Unreadable`].
    fn read_optional(&self, file: &str) -> Result<Option<Cow<'_, [u8]>>, ModelError> {
        if self.has(file) { self.read(file).map(Some) } else { Ok(None) }
    }
}

/// What a network gets its numbers from.
#[derive(Debug)]
pub enum Weights {
    /// Tensors, which must be exactly the network's.
    Stored(Tensors),
    /// None are stored: the network gets random ones, which is enough to measure it.
    Random,
}

/// The error for a file that is not there; `file` as messages name it.
pub(super) fn missing(file: String) -> ModelError {
    let remedy = "give the folder of a whole Stable Diffusion 1.x, 2.x, XL or LDM text-to-image model \
                  in diffusers' layout";
    ModelError::MissingFile { file, remedy: remedy.into() }
}

/// The error for a file that cannot be read.
pub(super) fn unreadable(file: String, error: &io::Error) -> ModelError {
    ModelError::Unreadable { file, reason: error.to_string() }
}
