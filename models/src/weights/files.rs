//! Where a model's files come from: a folder, memory (the embedded default), or whatever can be read
//! piece by piece (a browser's storage).

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf, sync::Arc};

use super::FileSource;
use crate::ModelError;

/// The files of one model in diffusers' layout, by relative path (`unet/config.json`).
#[derive(Clone, Debug)]
pub enum ModelFiles {
    /// A folder on disk.
    Folder(PathBuf),
    /// Files in memory.
    Memory(BTreeMap<String, Cow<'static, [u8]>>),
    /// Configurations in memory without weights: networks keep the random numbers that they are
    /// built with, which is enough to measure them.
    Random(BTreeMap<String, Cow<'static, [u8]>>),
    /// Files that are read piece by piece; of weights, no two tensors are in memory.
    Source(Arc<dyn FileSource>),
}

impl ModelFiles {
    /// How a file is named in messages.
    pub fn display(&self, file: &str) -> String {
        match self {
            // the components leave `.` out, by which a model's own folder is named
            Self::Folder(folder) => {
                folder.join(file).components().collect::<PathBuf>().display().to_string()
            }
            Self::Memory(_) | Self::Random(_) | Self::Source(_) => file.to_string(),
        }
    }

    /// Whether the file is there.
    pub fn has(&self, file: &str) -> bool {
        match self {
            Self::Folder(folder) => folder.join(file).is_file(),
            Self::Memory(files) | Self::Random(files) => files.contains_key(file),
            Self::Source(source) => source.size(file).is_some(),
        }
    }

    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// [`ModelError::MissingFile`] or [`ModelError::Unreadable`].
    pub fn read(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        match self {
            Self::Folder(folder) => match std::fs::read(folder.join(file)) {
                Ok(bytes) => Ok(Cow::Owned(bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    Err(self.missing(file))
                }
                Err(error) => Err(ModelError::Unreadable {
                    file: self.display(file),
                    reason: error.to_string(),
                }),
            },
            Self::Memory(files) | Self::Random(files) => match files.get(file) {
                Some(bytes) => Ok(Cow::Borrowed(bytes)),
                None => Err(self.missing(file)),
            },
            Self::Source(source) => {
                let size = source.size(file).ok_or_else(|| self.missing(file))?;
                let bytes = usize::try_from(size).map_err(std::io::Error::other);
                let bytes = bytes.and_then(|size| source.read(file, 0, size));
                bytes.map(Cow::Owned).map_err(|error| ModelError::Unreadable {
                    file: self.display(file),
                    reason: error.to_string(),
                })
            }
        }
    }

    /// The file's bytes, or `None` where there is no such file.
    pub fn read_optional(&self, file: &str) -> Result<Option<Cow<'_, [u8]>>, ModelError> {
        if self.has(file) { self.read(file).map(Some) } else { Ok(None) }
    }

    pub(super) fn missing(&self, file: &str) -> ModelError {
        ModelError::MissingFile {
            file: self.display(file),
            remedy:
                "give the folder of a whole Stable Diffusion 1.x or LDM text-to-image model in \
                     diffusers' layout"
                    .into(),
        }
    }
}
