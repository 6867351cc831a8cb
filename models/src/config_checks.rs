//! Checks of configuration files, so that a bad one is an error and never a panic in a layer.

use std::fmt::Display;

use serde::de::DeserializeOwned;

use crate::ModelError;

/// Larger than any real network of this kind; keeps absurd sizes from asking for all memory.
const LARGEST_SIZE: usize = 1 << 20;

/// Some editors put this before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A text without its byte-order mark.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Parses a JSON file of a model; `file` is named in errors.
///
/// # Errors
///
/// [`ModelError::Invalid`] says where it is broken.
pub fn parse<T: DeserializeOwned>(json: &[u8], file: &str) -> Result<T, ModelError> {
    serde_json::from_slice(without_mark(json))
        .map_err(|error| ModelError::Invalid { file: file.into(), reason: error.to_string() })
}

/// Makes the errors for one configuration file.
pub(crate) struct Checks<'a> {
    file: &'a str,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(file: &'a str) -> Self {
        Self { file }
    }

    pub(crate) fn unsupported(
        &self,
        key: &str,
        value: impl Display,
        supported: &str,
    ) -> ModelError {
        ModelError::Unsupported {
            file: self.file.into(),
            key: key.into(),
            value: value.to_string(),
            supported: supported.into(),
        }
    }

    pub(crate) fn size(&self, key: &str, value: usize) -> Result<(), ModelError> {
        match value {
            1..=LARGEST_SIZE => Ok(()),
            _ => Err(self.unsupported(key, value, "sizes from 1 to 1048576")),
        }
    }

    pub(crate) fn layers(&self, key: &str, value: usize) -> Result<(), ModelError> {
        match value {
            1..=256 => Ok(()),
            _ => Err(self.unsupported(key, value, "1 to 256 layers")),
        }
    }

    /// Room for the longest prompt: begin, a word, a learned vector and end at least. A mask has as many
    /// numbers as the square of it.
    pub(crate) fn positions(&self, value: usize) -> Result<(), ModelError> {
        match value {
            4..=4096 => Ok(()),
            _ => Err(self.unsupported("max_position_embeddings", value, "4 to 4096")),
        }
    }

    /// Height and width of pictures or latents, where the file tells them.
    pub(crate) fn side(&self, key: &str, value: Option<usize>) -> Result<(), ModelError> {
        match value {
            None | Some(1..=2048) => Ok(()),
            Some(value) => Err(self.unsupported(key, value, "sizes from 1 to 2048")),
        }
    }

    pub(crate) fn positive(&self, key: &str, value: f64) -> Result<(), ModelError> {
        if value.is_finite() && value > 0.0 {
            return Ok(());
        }
        Err(self.unsupported(key, value, "a positive number"))
    }

    /// Keys whose other values would change the numbers in ways that are not built.
    pub(crate) fn plain(&self, keys: &[(&str, bool)]) -> Result<(), ModelError> {
        match keys.iter().find(|(_, plain)| !plain) {
            Some((key, _)) => Err(self.unsupported(
                key,
                "its value here",
                "Stable Diffusion 1.x, 2.x and XL and LDM text-to-image",
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn count(&self, key: &str, found: usize, expected: usize) -> Result<(), ModelError> {
        if found == expected {
            return Ok(());
        }
        let expected = format!("one entry for each of the {expected} `block_out_channels`");
        Err(self.unsupported(key, format!("a list of {found}"), &expected))
    }

    pub(crate) fn one_of(&self, key: &str, value: &str, known: &[&str]) -> Result<(), ModelError> {
        if known.contains(&value) {
            return Ok(());
        }
        Err(self.unsupported(key, format!("`{value}`"), &known.join(", ")))
    }

    pub(crate) fn divides(&self, key: &str, part: usize, whole: usize) -> Result<(), ModelError> {
        if part > 0 && whole.is_multiple_of(part) {
            return Ok(());
        }
        Err(self.unsupported(key, part, &format!("values that divide {whole}")))
    }

    /// The levels of a UNet or autoencoder: at least one, each divisible into the norm groups.
    pub(crate) fn levels(
        &self,
        key: &str,
        channels: &[usize],
        groups: usize,
    ) -> Result<(), ModelError> {
        if channels.is_empty() || channels.len() > 8 {
            return Err(self.unsupported(
                key,
                format!("a list of {}", channels.len()),
                "1 to 8 levels",
            ));
        }
        channels.iter().try_for_each(|c| {
            self.size(key, *c)?;
            self.divides("norm_num_groups", groups, *c)
        })
    }
}
