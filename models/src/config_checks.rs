//! Checks of configuration files, so that a bad one is an error and never a panic in a layer.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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
    read(json).map_err(|reason| ModelError::Invalid { file: file.into(), reason })
}

/// Parses JSON.
///
/// # Errors
///
/// Where it is broken, in words that fit after a file's name.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    let json = without_mark(json);
    serde_json::from_slice(json)
        .map_err(|error| wrong_value::<T>(json).unwrap_or_else(|| error.to_string()))
}

/// The first key whose value does not parse, which serde's own error does not name, and why; none where
/// the values are right or this is no object.
fn wrong_value<T: DeserializeOwned>(json: &[u8]) -> Option<String> {
    let object: Map<String, Value> = serde_json::from_slice(json).ok()?;
    object.into_iter().find_map(|(key, value)| {
        let alone = Value::Object(Map::from_iter([(key.clone(), value)]));
        let problem = serde_json::from_value::<T>(alone).err()?.to_string();
        // it is alone here, and lacks all others
        (!problem.starts_with("missing field")).then(|| format!("`{key}`: {problem}"))
    })
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sizes {
        width: usize,
        #[serde(default)]
        depth: usize,
    }

    #[test]
    fn a_value_of_another_kind_is_told_by_its_key() {
        let sizes: Sizes = read(br#"{"width": 3, "depth": 2}"#).unwrap();
        assert_eq!((sizes.width, sizes.depth), (3, 2));
        let told = |json: &str| read::<Sizes>(json.as_bytes()).unwrap_err();
        let list = "`depth`: invalid type: sequence, expected usize";
        assert_eq!(told(r#"{"width": 3, "depth": [1, 2]}"#), list);
        assert_eq!(told(r#"{"depth": [1, 2]}"#), list);
        assert_eq!(told(r#"{"width": null}"#), "`width`: invalid type: null, expected usize");
        assert!(told(r#"{"depth": 2}"#).starts_with("missing field `width`"));
        assert!(told(r#"{"width": 3"#).starts_with("EOF"));
    }
}
