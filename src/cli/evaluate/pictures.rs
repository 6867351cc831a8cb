//! Pictures, and which prompt they are of.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    cli::error::CliError,
    data::{decode::decode, image::Picture, picture_files},
};

/// The pictures of one prompt.
pub(super) struct Group {
    /// Without the learned word.
    pub prompt: Option<String>,
    pub pictures: Pictures,
}

/// Files are read when their prompt's turn comes, so that one prompt's pictures are in memory.
pub(super) enum Pictures {
    Files(Vec<PathBuf>),
    Drawn(Vec<Picture>),
}

impl Pictures {
    /// Refuses files that cannot be read, and keeps none of them in memory.
    pub(super) fn check(&self) -> Result<(), CliError> {
        match self {
            Self::Drawn(_) => Ok(()),
            Self::Files(files) => files.iter().try_for_each(|file| open(file).map(drop)),
        }
    }

    pub(super) fn load(self) -> Result<Vec<Picture>, CliError> {
        match self {
            Self::Drawn(pictures) => Ok(pictures),
            Self::Files(files) => files.iter().map(|file| open(file)).collect(),
        }
    }
}

fn open(file: &Path) -> Result<Picture, CliError> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|error| CliError::read(file, error))?;
    Ok(decode(&bytes, &name)?)
}

/// The pictures of a folder, each as it is.
pub(super) fn all(folder: &Path) -> Result<Vec<Picture>, CliError> {
    Pictures::Files(picture_files(folder)?).load()
}

/// What there is for each prompt.
pub(super) fn by_prompt<T>(
    pictures: impl Iterator<Item = (String, T)>,
) -> BTreeMap<String, Vec<T>> {
    let mut groups: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (prompt, picture) in pictures {
        groups.entry(prompt).or_default().push(picture);
    }
    groups
}
