//! Which words CLIP finds nearest to pictures (arXiv 2302.04841v1, section 5.3: the initialisation
//! strategies `best` and `worst`).

use burn::tensor::Tensor;
use dvar_models::product::matmul;

use super::{ClipScorer, Features, features::read};
use crate::{data::templates::fill, pipelines::PipelineError};

/// Words whose captions are encoded at once.
pub const WORDS_AT_ONCE: usize = 16;

/// Compares words, in each of a few captions, with each of the pictures.
#[derive(Debug)]
pub struct WordScores<'a> {
    scorer: &'a ClipScorer,
    templates: &'a [&'a str],
    /// The mean of the pictures' features: its product with a caption's is their mean cosine.
    pictures: Tensor<2>,
}

impl<'a> WordScores<'a> {
    /// Templates hold `{}` where the word goes; there must be at least one.
    pub fn new(scorer: &'a ClipScorer, pictures: &Features, templates: &'a [&'a str]) -> Self {
        Self { scorer, templates, pictures: pictures.unit().mean_dim(0) }
    }

    /// The mean cosine over all pairs of a picture and a caption of the word, for each word.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Device`] if the result cannot be read.
    pub async fn score(&self, words: &[String]) -> Result<Vec<f64>, PipelineError> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let captions: Vec<String> = words
            .iter()
            .flat_map(|word| self.templates.iter().map(move |template| fill(template, word)))
            .collect();
        let texts = self.scorer.text_features(&captions).unit();
        let cosines = matmul(texts, self.pictures.clone().transpose());
        read(cosines.reshape([words.len(), self.templates.len()]).mean_dim(1)).await
    }
}
