//! A placeholder token and its vectors.

use std::collections::BTreeSet;

use super::EmbeddingError;
use crate::pipelines::{EmbeddingWidths, ModelFolder};

/// The safetensors header keeps this one name for itself.
const RESERVED: &str = "__metadata__";

/// A placeholder token and its vectors, checked: at least one vector, every value finite.
///
/// # Example
/// ```
/// use dvar::embedding::{self, LearnedEmbedding};
///
/// let learned = LearnedEmbedding::new("<cat-toy>", vec![0.1, -0.2, 0.3, 0.4], 2, 2)?;
/// let bytes = embedding::write(&learned);
/// assert_eq!(embedding::read(&bytes, "learned_embeds.safetensors")?, learned);
/// # Ok::<(), embedding::EmbeddingError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedEmbedding {
    placeholder_token: String,
    encoders: Vec<EncoderVectors>,
}

/// The vectors for one text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderVectors {
    /// The text encoder's name in files, such as `clip_l`; none where it is the only one.
    pub key: Option<String>,
    /// All values, row-major `[num_vectors, dim]`.
    pub values: Vec<f32>,
    /// The width of one vector, which is that of the text encoder's token embeddings.
    pub dim: usize,
}

impl EncoderVectors {
    /// The vectors, one by one.
    pub fn each(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks(self.dim)
    }
}

/// Whether files can tell the text encoders apart. One alone needs no key.
fn have_keys(encoders: &[EncoderVectors]) -> bool {
    let mut keys = BTreeSet::new();
    encoders.iter().all(|encoder| match encoder.key.as_deref() {
        None => encoders.len() == 1,
        Some(key) => key != RESERVED && keys.insert(key),
    })
}

impl LearnedEmbedding {
    /// Makes an embedding of `num_vectors` vectors of width `dim` from row-major `vectors`, for a
    /// model with one text encoder.
    ///
    /// # Errors
    /// Those of [`for_encoders`](Self::for_encoders).
    pub fn new(
        placeholder_token: impl Into<String>,
        vectors: Vec<f32>,
        num_vectors: usize,
        dim: usize,
    ) -> Result<Self, EmbeddingError> {
        let vectors = EncoderVectors { key: None, values: vectors, dim };
        Self::for_encoders(placeholder_token, vec![vectors], num_vectors)
    }

    /// Makes an embedding of `num_vectors` vectors for each text encoder.
    ///
    /// # Errors
    /// If the token cannot be a key of an embedding file, if there is no text encoder, if several do not
    /// have a key of their own each, if one has no value or another number of values than
    /// `num_vectors * dim`, or if a value is NaN or infinite.
    pub fn for_encoders(
        placeholder_token: impl Into<String>,
        encoders: Vec<EncoderVectors>,
        num_vectors: usize,
    ) -> Result<Self, EmbeddingError> {
        let token = placeholder_token.into();
        if token.trim().is_empty() || token == RESERVED {
            return Err(EmbeddingError::Token { token });
        }
        if encoders.is_empty() {
            return Err(EmbeddingError::Size { token, values: 0, num_vectors, dim: 0 });
        }
        if !have_keys(&encoders) {
            return Err(EmbeddingError::Keys { token });
        }
        for EncoderVectors { values: vectors, dim, .. } in &encoders {
            let (values, dim) = (vectors.len(), *dim);
            if values == 0 || num_vectors.checked_mul(dim) != Some(values) {
                return Err(EmbeddingError::Size { token, values, num_vectors, dim });
            }
            if let Some(index) = vectors.iter().position(|value| !value.is_finite()) {
                return Err(EmbeddingError::NotFinite { token, vector: index / dim });
            }
        }
        Ok(Self { placeholder_token: token, encoders })
    }

    /// The token that stands for the concept in a prompt.
    pub fn placeholder_token(&self) -> &str {
        &self.placeholder_token
    }

    /// The vectors for each text encoder, of which there is at least one.
    pub fn encoders(&self) -> &[EncoderVectors] {
        &self.encoders
    }

    /// The same vectors for another token.
    ///
    /// # Errors
    ///
    /// [`EmbeddingError::Token`] if the token cannot be a key of an embedding file.
    pub fn renamed(self, placeholder_token: impl Into<String>) -> Result<Self, EmbeddingError> {
        let num_vectors = self.num_vectors();
        Self::for_encoders(placeholder_token, self.encoders, num_vectors)
    }

    /// One embedding of two that diffusers saved for SDXL's two text encoders; none where they do not
    /// belong together, by their token, their numbers of vectors and their widths.
    pub fn joined(&self, second: &Self) -> Option<Self> {
        let ([left], [right]) = (&self.encoders[..], &second.encoders[..]) else { return None };
        let together = left.key.is_none()
            && right.key.is_none()
            && left.dim != right.dim
            && self.placeholder_token == second.placeholder_token
            && self.num_vectors() == second.num_vectors();
        let named = |key: &str, vectors: &EncoderVectors| EncoderVectors {
            key: Some(key.into()),
            ..vectors.clone()
        };
        together.then(|| Self {
            placeholder_token: self.placeholder_token.clone(),
            encoders: vec![named("clip_l", left), named("clip_g", right)],
        })
    }

    /// The number of vectors for each text encoder, at least 1.
    pub fn num_vectors(&self) -> usize {
        self.encoders[0].values.len() / self.encoders[0].dim
    }

    /// The widths of the vectors.
    pub fn widths(&self) -> EmbeddingWidths {
        let widths = self.encoders.iter().map(|vectors| (vectors.key.clone(), vectors.dim));
        EmbeddingWidths(widths.collect())
    }

    /// Checks that the vectors are as wide as the model's token embeddings.
    ///
    /// # Errors
    /// [`EmbeddingError::Width`] where the embedding is another model's.
    pub fn check_fit(&self, model: &ModelFolder) -> Result<(), EmbeddingError> {
        if self.widths().fit(&model.embedding_widths()) {
            return Ok(());
        }
        Err(EmbeddingError::Width {
            token: self.placeholder_token.clone(),
            widths: self.widths(),
            model: model.name().into(),
            expected: model.embedding_widths(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_must_agree_and_not_be_zero() {
        let new = |values, num_vectors, dim| {
            LearnedEmbedding::new("<a>", vec![0.5; values], num_vectors, dim)
        };
        let embedding = new(6, 2, 3).unwrap();
        assert_eq!((embedding.num_vectors(), embedding.encoders()[0].dim), (2, 3));
        for (values, num_vectors, dim) in [(6, 2, 2), (0, 0, 3), (0, 3, 0), (1, usize::MAX, 2)] {
            assert!(matches!(new(values, num_vectors, dim), Err(EmbeddingError::Size { .. })));
        }
    }

    #[test]
    fn every_text_encoder_has_as_many_vectors() {
        let vectors = |key: &str, values, dim| EncoderVectors {
            key: Some(key.into()),
            values: vec![0.5; values],
            dim,
        };
        let new = |encoders| LearnedEmbedding::for_encoders("<a>", encoders, 2);
        let embedding = new(vec![vectors("one", 6, 3), vectors("two", 4, 2)]).unwrap();
        assert_eq!(embedding.widths().to_string(), "one 3 and two 2");
        for wrong in [vec![], vec![vectors("one", 6, 3), vectors("two", 6, 2)]] {
            assert!(matches!(new(wrong), Err(EmbeddingError::Size { .. })));
        }
    }

    #[test]
    fn text_encoders_that_files_could_not_tell_apart_are_refused() {
        let new = |keys: &[Option<&str>]| {
            let vectors = |key: &Option<&str>| EncoderVectors {
                key: key.map(str::to_owned),
                values: vec![0.5; 2],
                dim: 2,
            };
            LearnedEmbedding::for_encoders("<a>", keys.iter().map(vectors).collect(), 1)
        };
        for keys in [&[None][..], &[Some("clip_l")], &[Some("clip_l"), Some("clip_g")]] {
            assert!(new(keys).is_ok(), "{keys:?}");
        }
        for keys in [
            &[Some("clip_l"), Some("clip_l")][..],
            &[None, None],
            &[Some("clip_l"), None],
            &[Some("__metadata__")],
        ] {
            assert!(matches!(new(keys), Err(EmbeddingError::Keys { .. })), "{keys:?}");
        }
    }

    #[test]
    fn two_files_of_one_token_are_joined_where_their_widths_differ() {
        let new = |token, count, dim| {
            LearnedEmbedding::new(token, vec![0.5; count * dim], count, dim).unwrap()
        };
        let joined = new("<a>", 2, 3).joined(&new("<a>", 2, 4)).unwrap();
        assert_eq!(joined.widths().to_string(), "clip_l 3 and clip_g 4");
        assert_eq!(joined.num_vectors(), 2);
        for other in [new("<b>", 2, 4), new("<a>", 1, 4), new("<a>", 2, 3), joined.clone()] {
            assert_eq!(new("<a>", 2, 3).joined(&other), None);
        }
    }

    #[test]
    fn a_value_that_is_not_finite_is_refused_with_its_vector() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let made = LearnedEmbedding::new("<a>", vec![1.0, 2.0, 3.0, bad], 2, 2);
            assert!(matches!(made, Err(EmbeddingError::NotFinite { vector: 1, .. })));
        }
    }

    #[test]
    fn a_token_that_no_file_can_hold_is_refused() {
        for token in ["", " \t", "__metadata__"] {
            let made = LearnedEmbedding::new(token, vec![1.0], 1, 1);
            assert!(matches!(made, Err(EmbeddingError::Token { .. })));
        }
    }
}
