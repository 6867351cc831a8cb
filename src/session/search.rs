//! The vocabulary's best or worst word for the pictures.

use burn::tensor::TensorData;

use super::{Rank, SessionError};
use crate::{
    config::TrainConfig,
    data::dataset::Dataset,
    eval::{ClipScorer, Features, WORDS_AT_ONCE, WordScores},
    fingerprint::Fingerprint,
    pipelines::{ModelFolder, PipelineError},
    rng::{Purpose, Stream},
    tensor::DeviceError,
};

/// Captions that each word is tried in, as in the official code.
const TEMPLATES: usize = 4;

/// Words and their mean cosines with the pictures, from the best to the worst.
pub type RankedWords = Vec<(String, f64)>;

/// What a search is made of.
#[derive(Debug)]
pub struct WordSearch<'a> {
    scorer: &'a ClipScorer,
    pictures: Features,
    words: Vec<String>,
    templates: Vec<&'static str>,
    rank: Rank,
}

impl<'a> WordSearch<'a> {
    /// All words of the model's vocabulary, in captions that are drawn from the seed.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if the tokenizer's files are broken.
    pub fn new(
        config: &TrainConfig,
        model: &ModelFolder,
        dataset: &Dataset,
        scorer: &'a ClipScorer,
        rank: Rank,
    ) -> Result<Self, PipelineError> {
        let words = model.tokenizers()?.words();
        let all = config.learnable_property.templates();
        let order = Stream::new(config.seed, Purpose::Initialization, 1).permutation(all.len());
        let templates = order.into_iter().take(TEMPLATES).map(|i| all[i]).collect();
        let pictures = scorer.image_features(dataset.pictures()).select(dataset.round());
        Ok(Self { scorer, pictures, words, templates, rank })
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The captions that each word is tried in.
    pub fn templates(&self) -> &[&'static str] {
        &self.templates
    }

    /// A number that stands for the pictures, as the scorer sees them, the words and the captions:
    /// an answer may be kept under it.
    ///
    /// # Errors
    ///
    /// [`DeviceError`] if the features cannot be read.
    pub async fn key(&self) -> Result<u64, DeviceError> {
        let features = self.pictures.unit().into_data_async().await.map_err(DeviceError::new)?;
        let features: &TensorData = &features;
        let texts = self.words.iter().map(String::as_str).chain(self.templates.iter().copied());
        let key = Fingerprint::of(features.as_bytes());
        Ok(texts.fold(key, |key, text| key.and(text.as_bytes())).0)
    }

    /// Scores every word; `told` is told how many of all are scored.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Device`] if a score cannot be read, and what `told` gives.
    pub async fn ranked<E: From<PipelineError>>(
        &self,
        mut told: impl AsyncFnMut(usize, usize) -> Result<(), E>,
    ) -> Result<RankedWords, E> {
        let scores = WordScores::new(self.scorer, &self.pictures, &self.templates);
        let mut ranked = Vec::with_capacity(self.words.len());
        for words in self.words.chunks(WORDS_AT_ONCE) {
            let values = scores.score(words).await?;
            ranked.extend(words.iter().cloned().zip(values));
            told(ranked.len(), self.words.len()).await?;
        }
        // stable: of equal words the first in the vocabulary is the better
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Ok(ranked)
    }

    /// The word that is wanted, and its score.
    ///
    /// # Errors
    ///
    /// [`SessionError::NoWords`] if there is none.
    pub fn choose<'w>(&self, ranked: &'w RankedWords) -> Result<&'w (String, f64), SessionError> {
        let chosen = match self.rank {
            Rank::Best => ranked.first(),
            Rank::Worst => ranked.last(),
        };
        chosen.ok_or(SessionError::NoWords)
    }
}
