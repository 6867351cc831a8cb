//! Pictures, and which prompt they are of.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    cli::{error::CliError, input},
    data::{decode::decode, image::Picture, picture_files},
};

/// The pictures of one prompt.
pub(super) struct Group {
    /// Without the learned word.
    pub prompt: Option<String>,
    pub pictures: Pictures,
}

/// Files are read one by one, each when its turn comes.
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

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Drawn(pictures) => pictures.len(),
            Self::Files(files) => files.len(),
        }
    }

    pub(super) fn read(self) -> Box<dyn Iterator<Item = Result<Picture, CliError>>> {
        match self {
            Self::Drawn(pictures) => Box::new(pictures.into_iter().map(Ok)),
            Self::Files(files) => Box::new(files.into_iter().map(|file| open(&file))),
        }
    }
}

fn open(file: &Path) -> Result<Picture, CliError> {
    Ok(decode(&input::bytes(file)?, &file.display().to_string())?)
}

/// The pictures of a folder, each as it is.
pub(super) fn all(folder: &Path) -> Result<Vec<Picture>, CliError> {
    Pictures::Files(picture_files(folder)?).read().collect()
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
