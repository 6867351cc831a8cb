//! The pictures of a concept, and which picture goes with which template.

use serde::{Deserialize, Serialize};

use super::{
    decode::{MIN_SIDE, decode},
    error::DataError,
    image::Picture,
    resize::Filter,
};

/// Largest side a picture is resized to; no model here works beyond it.
const MAX_RESOLUTION: usize = 4096;

/// How a picture that is not square becomes square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum CropMode {
    /// Cut the largest square out of the middle, then resize.
    #[default]
    Center,
    /// Resize both sides to the resolution, changing the proportions.
    Squash,
}

/// A concept's pictures, checked, decoded and resized: everything that can be wrong with a
/// picture shows when this is built, before anything slow.
#[derive(Clone, Debug)]
pub struct Dataset {
    names: Vec<String>,
    pictures: Vec<Picture>,
}

impl Dataset {
    /// Prepares pictures from (name, file content), in the order given; each becomes RGB,
    /// `resolution` x `resolution` pixels, resized by bicubic.
    ///
    /// # Errors
    ///
    /// [`DataError::NothingGiven`], [`DataError::Resolution`], or what [`decode`] says of the first
    /// bad picture.
    pub fn from_bytes(
        files: Vec<(String, Vec<u8>)>,
        resolution: usize,
        crop: CropMode,
    ) -> Result<Self, DataError> {
        Self::build(files.into_iter().map(Ok), resolution, crop)
    }

    /// Takes the files one by one, so that no two undecoded or full-size pictures are in memory.
    fn build(
        files: impl Iterator<Item = Result<(String, Vec<u8>), DataError>>,
        resolution: usize,
        crop: CropMode,
    ) -> Result<Self, DataError> {
        let (lowest, highest) = (MIN_SIDE, MAX_RESOLUTION);
        if !(lowest..=highest).contains(&resolution) {
            return Err(DataError::Resolution { resolution, lowest, highest });
        }
        let (mut names, mut pictures) = (Vec::new(), Vec::new());
        for file in files {
            let (name, bytes) = file?;
            let picture = decode(&bytes, &name)?.into_rgb();
            let picture = match crop {
                CropMode::Center => picture.center_crop(),
                CropMode::Squash => picture,
            };
            pictures.push(picture.resize(resolution, resolution, Filter::Bicubic));
            names.push(name);
        }
        if pictures.is_empty() {
            return Err(DataError::NothingGiven);
        }
        Ok(Self { names, pictures })
    }

    /// The pictures, RGB, `resolution` x `resolution`; at least one.
    pub fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// The pictures' names in the same order: paths if they came from files.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Which picture and which caption template a running index means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Pairing {
    /// Every picture meets every template.
    ///
    /// With n pictures, t templates and l = lcm(n, t): picture `i mod n`, template
    /// `(i + floor(i / l)) mod t`. The first l indices pair as [`Pairing::Official`] does; each
    /// further l are moved by one template, and so give pairs not seen before.
    #[default]
    AllPairs,
    /// As the official code: picture `i mod n`, template `i mod t`. This reaches only lcm(n, t) of
    /// the n * t pairs: with 3 pictures and 57 templates, 57 of 171.
    Official,
}

impl Pairing {
    /// The (picture, template) that `index` means, for any index.
    ///
    /// # Panics
    ///
    /// If there are no pictures or no templates.
    pub fn pair(self, index: usize, num_pictures: usize, num_templates: usize) -> (usize, usize) {
        let shift = match self {
            Self::AllPairs => {
                index / (num_pictures / gcd(num_pictures, num_templates) * num_templates)
            }
            Self::Official => 0,
        };
        (index % num_pictures, (index % num_templates + shift % num_templates) % num_templates)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(not(target_arch = "wasm32"))]
pub use folder::picture_files;

#[cfg(not(target_arch = "wasm32"))]
mod folder {
    use std::path::{Path, PathBuf};

    use super::{CropMode, Dataset};
    use crate::data::DataError;

    const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

    impl Dataset {
        /// Prepares the pictures of a folder as [`Dataset::from_bytes`] does; see
        /// [`picture_files`] for which files and in which order.
        ///
        /// # Errors
        ///
        /// Those of [`picture_files`] and [`Dataset::from_files`].
        pub fn from_folder(
            folder: &Path,
            resolution: usize,
            crop: CropMode,
        ) -> Result<Self, DataError> {
            Self::from_files(&picture_files(folder)?, resolution, crop)
        }

        /// Prepares the files named, in the order given, as [`Dataset::from_bytes`] does.
        ///
        /// # Errors
        ///
        /// Those of [`Dataset::from_bytes`], and [`DataError::Unreadable`].
        pub fn from_files(
            files: &[PathBuf],
            resolution: usize,
            crop: CropMode,
        ) -> Result<Self, DataError> {
            let read = |path: &PathBuf| {
                let bytes = std::fs::read(path).map_err(|source| unreadable(path, source))?;
                Ok((path.display().to_string(), bytes))
            };
            Self::build(files.iter().map(read), resolution, crop)
        }
    }

    /// The png, jpg, jpeg and webp files of a folder (extension in upper or lower case), sorted by
    /// file name; other files and subfolders are left out.
    ///
    /// The official code skips upper-case extensions, as cameras write them; here they count.
    ///
    /// # Errors
    ///
    /// [`DataError::NoSuchFolder`], [`DataError::NotAFolder`], [`DataError::NoPictures`] or
    /// [`DataError::Unreadable`].
    pub fn picture_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        let path = folder.display().to_string();
        match std::fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(DataError::NotAFolder { path }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(DataError::NoSuchFolder { path });
            }
            Err(source) => return Err(unreadable(folder, source)),
        }
        let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|source| unreadable(folder, source))?;
        entries.sort();
        let (pictures, others): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|path| has_picture_extension(path) && !path.is_dir());
        if pictures.is_empty() {
            return Err(DataError::NoPictures { path, found: in_words(&others) });
        }
        Ok(pictures)
    }

    fn has_picture_extension(path: &Path) -> bool {
        path.extension().is_some_and(|extension| {
            EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
        })
    }

    /// The first few names and how many more there are.
    fn in_words(others: &[PathBuf]) -> String {
        const SHOWN: usize = 3;
        let names: Vec<String> = others
            .iter()
            .take(SHOWN)
            .filter_map(|path| Some(format!("`{}`", path.file_name()?.to_string_lossy())))
            .collect();
        match others.len() {
            0 => "an empty folder".into(),
            total if total > SHOWN => format!("{} and {} more", names.join(", "), total - SHOWN),
            _ => names.join(", "),
        }
    }

    fn unreadable(path: &Path, source: std::io::Error) -> DataError {
        DataError::Unreadable { path: path.display().to_string(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_pairs_reaches_each_pair_once_in_as_many_draws(
            pictures in 1_usize..40,
            templates in 1_usize..80,
        ) {
            let pairs: HashSet<_> = (0..pictures * templates)
                .map(|index| Pairing::AllPairs.pair(index, pictures, templates))
                .collect();
            prop_assert_eq!(pairs.len(), pictures * templates);
            prop_assert!(pairs.iter().all(|(p, t)| *p < pictures && *t < templates));
        }

        #[test]
        fn any_index_is_a_pair(
            index: usize, pictures in 1_usize..40, templates in 1_usize..80, official: bool,
        ) {
            let pairing = if official { Pairing::Official } else { Pairing::AllPairs };
            let (picture, template) = pairing.pair(index, pictures, templates);
            prop_assert!(picture < pictures && template < templates);
        }
    }

    #[test]
    fn the_official_pairing_reaches_a_third_of_the_pairs_of_three_pictures() {
        let pairs: HashSet<_> =
            (0..3 * 57).map(|index| Pairing::Official.pair(index, 3, 57)).collect();
        assert_eq!(pairs.len(), 57);
    }
}
