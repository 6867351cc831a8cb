//! A model in a folder on disk.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, ErrorKind, Read},
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

impl Folder {
    /// Opens a file; a pipe would be waited for, and a device has no end.
    fn open(&self, file: &str) -> io::Result<File> {
        let path = self.0.join(file);
        if path.metadata()?.is_file() {
            File::open(path)
        } else {
            Err(io::Error::other("it is no file"))
        }
    }
}

impl ModelSource for Folder {
    fn display(&self, file: &str) -> String {
        // the components leave `.` out, by which a model's own folder is named
        self.0.join(file).components().collect::<PathBuf>().display().to_string()
    }

    fn has(&self, file: &str) -> bool {
        self.0.join(file).is_file()
    }

    fn read(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        let mut bytes = Vec::new();
        match self.open(file).and_then(|mut file| file.read_to_end(&mut bytes)) {
            Ok(_) => Ok(Cow::Owned(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(self.display(file))),
            Err(error) => Err(unreadable(self.display(file), &error)),
        }
    }

    fn weights(&self, part: &str) -> Result<Weights, ModelError> {
        layout::weights(self, part, |file| {
            self.open(file).map_err(|error| unreadable(self.display(file), &error))
        })
    }
}
