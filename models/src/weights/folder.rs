//! A model in a folder on disk.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::ErrorKind,
    path::PathBuf,
};

use super::{
    ModelSource, Weights, layout,
    source::{missing, unreadable},
};
use crate::ModelError;

/// A folder on disk in diffusers' layout, or in transformers' for a single network.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl ModelSource for Folder {
    fn display(&self, file: &str) -> String {
        // the components leave `.` out, by which a model's own folder is named
        self.0.join(file).components().collect::<PathBuf>().display().to_string()
    }

    fn has(&self, file: &str) -> bool {
        self.0.join(file).is_file()
    }

    fn read(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        match fs::read(self.0.join(file)) {
            Ok(bytes) => Ok(Cow::Owned(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(self.display(file))),
            Err(error) => Err(unreadable(self.display(file), &error)),
        }
    }

    fn weights(&self, part: &str) -> Result<Weights, ModelError> {
        layout::weights(self, part, |file| {
            File::open(self.0.join(file)).map_err(|error| unreadable(self.display(file), &error))
        })
    }
}
