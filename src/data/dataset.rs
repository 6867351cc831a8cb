//! The pictures of a concept, and which picture goes with which template.

use dvar_models::unet::TimeIds;
use serde::{Deserialize, Serialize};

use super::{
    decode::{MIN_SIDE, decode},
    error::DataError,
    framing::{Framing, MAX_ASPECT, STEPS},
    image::Picture,
    reading::{CropMode, Reading},
    resize::Filter,
};

/// Largest side a picture is resized to; no model here works beyond it.
const MAX_RESOLUTION: usize = 4096;

/// A concept's pictures, checked, decoded and resized: everything that can be wrong with a
/// picture shows when this is built, before anything slow.
#[derive(Clone, Debug)]
pub struct Dataset {
    names: Vec<String>,
    pictures: Vec<Picture>,
    /// Grey, as large as its picture, where there is one.
    masks: Vec<Option<Picture>>,
    captions: Vec<Option<String>>,
    /// How many pictures have transparent parts.
    transparent: usize,
    time_ids: Vec<TimeIds>,
    round: Vec<usize>,
}

/// The content of a picture's file, and of those beside it.
pub(super) struct PictureFile {
    pub name: String,
    pub bytes: Vec<u8>,
    pub mask: Option<(String, Vec<u8>)>,
    pub caption: Option<String>,
}

impl From<(String, Vec<u8>)> for PictureFile {
    fn from((name, bytes): (String, Vec<u8>)) -> Self {
        Self { name, bytes, mask: None, caption: None }
    }
}

impl Dataset {
    /// Prepares pictures from (name, file content), in the order given; each becomes RGB,
    /// `resolution` x `resolution` pixels or, with [`CropMode::None`], of about as many, resized by
    /// bicubic.
    ///
    /// # Errors
    ///
    /// [`DataError::NothingGiven`], [`DataError::Resolution`], or what [`decode`] says of the first
    /// bad picture; with [`CropMode::None`] also [`DataError::TooNarrow`] from 4 to 1 on.
    pub fn from_bytes(
        files: Vec<(String, Vec<u8>)>,
        resolution: usize,
        reading: impl Into<Reading>,
    ) -> Result<Self, DataError> {
        Self::build(files.into_iter().map(|file| Ok(file.into())), resolution, reading.into())
    }

    /// Takes the files one by one, so that no two undecoded or full-size pictures are in memory.
    pub(super) fn build(
        files: impl Iterator<Item = Result<PictureFile, DataError>>,
        resolution: usize,
        reading: Reading,
    ) -> Result<Self, DataError> {
        let keeps_shape = reading.crop == CropMode::None;
        let lowest = if keeps_shape { STEPS * reading.multiple } else { MIN_SIDE };
        let highest = MAX_RESOLUTION;
        if !(lowest..=highest).contains(&resolution) {
            return Err(DataError::Resolution { resolution, lowest, highest });
        }
        let framing = Framing::new(reading, resolution);
        let (mut names, mut pictures, mut masks) = (Vec::new(), Vec::new(), Vec::new());
        let (mut captions, mut transparent, mut time_ids) = (Vec::new(), 0, Vec::new());
        for file in files {
            let PictureFile { name, bytes, mask, caption } = file?;
            let picture = decode(&bytes, &name)?;
            transparent += usize::from(picture.is_transparent());
            let (width, height) = (picture.width(), picture.height());
            if keeps_shape && width.max(height) > MAX_ASPECT * width.min(height) {
                return Err(DataError::TooNarrow { name, width, height, limit: MAX_ASPECT });
            }
            time_ids.push(framing.time_ids([height, width]));
            let mask = if reading.masks { read_mask(mask, &picture)? } else { None };
            let picture = match reading.background {
                Some(background) => picture.over(background.0),
                None => picture.into_rgb(),
            };
            pictures.push(framing.apply(&picture, Filter::Bicubic));
            masks.push(mask.map(|mask| framing.apply(&mask, Filter::Bilinear)));
            captions.push(caption);
            names.push(name);
        }
        if pictures.is_empty() {
            return Err(DataError::NothingGiven);
        }
        if reading.masks && masks.iter().all(Option::is_none) {
            return Err(DataError::NoMasks);
        }
        let round = (0..pictures.len()).collect();
        Ok(Self { names, pictures, masks, captions, transparent, time_ids, round })
    }

    /// The same pictures in rounds of these, by their places: one that stands here twice counts twice.
    ///
    /// # Panics
    ///
    /// If there are none, or there is no picture at a place.
    #[must_use]
    pub fn in_rounds_of(self, round: Vec<usize>) -> Self {
        assert!(!round.is_empty(), "no pictures");
        assert!(round.iter().all(|picture| *picture < self.pictures.len()), "no such picture");
        Self { round, ..self }
    }

    /// What a run draws its pictures from: the places of the pictures, of each as often as it counts.
    pub fn round(&self) -> &[usize] {
        &self.round
    }

    /// The pictures, RGB, each once; at least one.
    pub fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// The pictures' names in the same order: paths if they came from files.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The text beside each picture, where captions were read.
    pub fn captions(&self) -> &[Option<String>] {
        &self.captions
    }

    /// What SDXL is told of each picture: its size in the file, what was cut off above and at the left
    /// (in pixels of the resized picture), and its size now.
    pub fn time_ids(&self) -> &[TimeIds] {
        &self.time_ids
    }

    /// How many of the pictures have transparent parts.
    pub fn transparent(&self) -> usize {
        self.transparent
    }

    /// The mask of each picture, as large as that, where there is one.
    pub fn mask_pictures(&self) -> &[Option<Picture>] {
        &self.masks
    }

    /// What each block of `side * side` pixels of each picture of a round counts, from 0 to 1, row by row:
    /// the mean of the mask there, 1 in a picture without; none where masks were not read. `side` must
    /// divide the pictures' sides.
    pub fn masks(&self, side: usize) -> Option<Vec<Vec<f32>>> {
        self.masks.iter().any(Option::is_some).then(|| {
            let means = |(mask, picture): (&Option<Picture>, &Picture)| {
                let (height, width) = (picture.height() / side, picture.width() / side);
                match mask {
                    Some(mask) => mask.means(height, width),
                    None => vec![1.0; height * width],
                }
            };
            let each: Vec<Vec<f32>> = self.masks.iter().zip(&self.pictures).map(means).collect();
            self.round.iter().map(|picture| each[*picture].clone()).collect()
        })
    }

    /// Width and height of the pictures, and how many have these, in the order of the first of each.
    pub fn sizes(&self) -> Vec<([usize; 2], usize)> {
        let mut sizes: Vec<([usize; 2], usize)> = Vec::new();
        for picture in &self.pictures {
            let size = [picture.width(), picture.height()];
            match sizes.iter_mut().find(|(known, _)| *known == size) {
                Some((_, count)) => *count += 1,
                None => sizes.push((size, 1)),
            }
        }
        sizes
    }
}

/// A picture's mask from the file beside it, of which what is transparent is black, or else its own opacity.
fn read_mask(
    file: Option<(String, Vec<u8>)>,
    picture: &Picture,
) -> Result<Option<Picture>, DataError> {
    let Some((name, bytes)) = file else { return Ok(picture.opacity()) };
    let mask = decode(&bytes, &name)?;
    let sizes = [&mask, picture].map(|picture| [picture.width(), picture.height()]);
    if sizes[0] != sizes[1] {
        return Err(DataError::MaskSize { name, mask: sizes[0], picture: sizes[1] });
    }
    Ok(Some(mask.over([0; 3]).first_channel()))
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

/// The greatest common divisor; that of 0 and a number is the number.
pub(super) fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
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
