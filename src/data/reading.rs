//! How a concept's pictures are read: what becomes of their shape, of what is transparent, and what is
//! read beside them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What becomes of the shape of a picture that is not square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum CropMode {
    /// Cut the largest square out of the middle, then resize.
    #[default]
    Center,
    /// Resize both sides to the resolution, changing the proportions.
    Squash,
    /// Keep the proportions, at about as many pixels as a square of the resolution has: resize until
    /// both sides reach multiples of what the model can halve evenly, and cut off evenly what is beyond.
    None,
}

/// How a concept's pictures are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// What becomes of a picture's shape.
    pub crop: CropMode,
    /// What the sides of pictures that keep their proportions are multiples of; the model says it.
    pub multiple: usize,
    /// What lies behind transparent parts; if none, the colours that the file hides there.
    pub background: Option<Background>,
    /// Reads masks: `cat.mask.png` beside `cat.png`, or else the picture's own opacity.
    pub masks: bool,
    /// Reads captions: `cat.txt` beside `cat.png`.
    pub captions: bool,
    /// Reads the folders in the folder, whose names begin with how often each of their pictures
    /// counts, as kohya names them: `10_mycat`.
    pub kohya_folders: bool,
}

impl Default for Reading {
    /// Squares from the middle, and nothing beside them.
    fn default() -> Self {
        Self {
            crop: CropMode::Center,
            multiple: 8,
            background: None,
            masks: false,
            captions: false,
            kohya_folders: false,
        }
    }
}

impl From<CropMode> for Reading {
    fn from(crop: CropMode) -> Self {
        Self { crop, ..Self::default() }
    }
}

/// A colour behind transparent parts: red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Background(pub [u8; 3]);

const NAMES: [(&str, [u8; 3]); 3] = [("white", [255; 3]), ("black", [0; 3]), ("gray", [128; 3])];

/// A text that is no colour.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no colour: use `white`, `black`, `gray` or one such as `#ff8800`")]
pub struct UnknownColor(String);

impl FromStr for Background {
    type Err = UnknownColor;

    fn from_str(text: &str) -> Result<Self, UnknownColor> {
        let unknown = || UnknownColor(text.into());
        if let Some((_, color)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*color));
        }
        let digits = text.strip_prefix('#').filter(|digits| {
            digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        });
        let color = u32::from_str_radix(digits.ok_or_else(unknown)?, 16).map_err(|_| unknown())?;
        let [_, red, green, blue] = color.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl fmt::Display for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, color)| *color == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "#{:02x}{:02x}{:02x}", self.0[0], self.0[1], self.0[2]),
        }
    }
}

impl TryFrom<String> for Background {
    type Error = UnknownColor;

    fn try_from(text: String) -> Result<Self, UnknownColor> {
        text.parse()
    }
}

impl From<Background> for String {
    fn from(background: Background) -> Self {
        background.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_read_as_they_are_written() {
        for (text, color) in [("white", [255; 3]), ("gray", [128; 3]), ("#ff8800", [255, 136, 0])] {
            let background: Background = text.parse().unwrap();
            assert_eq!((background.0, background.to_string().as_str()), (color, text));
        }
        assert_eq!("#FFFFFF".parse(), Ok(Background([255; 3])));
        for text in ["", "red", "#fff", "#gggggg", "#+1+1+1", "ffffff"] {
            assert!(text.parse::<Background>().unwrap_err().to_string().contains(text));
        }
    }
}
