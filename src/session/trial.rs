//! Words tried as starts: the lower the deterministic loss, the better.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{RankedWords, Session, SessionError};
use crate::{
    concept::{Concept, ConceptWeights},
    config::TrainConfig,
    embedding::{self, EmbeddingError, LearnedEmbedding},
    objective::Share,
    pipelines::PromptIds,
    tensor::read,
};

/// Of so many words that are compared, one goes on to be compared on more inputs,
const ONE_OF: usize = 3;
/// but never fewer than these.
const LAST_WORDS: usize = 4;
/// Inputs by which all words are compared, or one more.
const FIRST_INPUTS: usize = 2;

/// What came of trying words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriedWords {
    /// The last to be compared, on the whole fixed batch, with their losses, from the lowest; without
    /// those whose loss is no finite number, which JSON cannot hold.
    pub best: RankedWords,
    /// How many words there were.
    pub of: usize,
}

/// A word in the comparison.
struct Candidate<'a> {
    word: &'a str,
    start: LearnedEmbedding,
    /// The loss of the inputs so far, as their part of the mean over all.
    loss: f64,
}

impl Session {
    /// Starts the vectors from the word whose deterministic loss is lowest before any training.
    ///
    /// All words are compared on a few inputs of the fixed batch, the best third on as many more, and so
    /// on, so that the whole batch is computed for the last few alone (successive halving, Jamieson
    /// and Talwalkar, 2016). A word that the first inputs put far behind is not seen again.
    ///
    /// A model knows what it can draw: for pictures of a thing that it has a word for, that word
    /// stands out (docs/experiments.md), and no scorer is needed.
    ///
    /// `told` is told how many evaluations of an input are made, of how many.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the device fails, or there is no word, and what `told` gives.
    pub async fn start_from_best_of<E: From<SessionError>>(
        &mut self,
        config: &TrainConfig,
        words: &[(PromptIds, String)],
        mut told: impl AsyncFnMut(usize, usize) -> Result<(), E>,
    ) -> Result<TriedWords, E> {
        let tables = self.objective.encoder.token_tables();
        let mut left = Vec::with_capacity(words.len());
        for (ids, word) in words {
            let start = self.start_from(config, &tables, ids).await.map_err(SessionError::from)?;
            left.push(Candidate { word, start, loss: 0.0 });
        }
        let inputs = config.eval_batch_size;
        let rounds = rounds(words.len(), inputs);
        let total = rounds.iter().map(|(words, share)| words * share.places(inputs).len()).sum();
        let mut done = 0;
        for (count, share) in rounds {
            left.truncate(count);
            let places = share.places(inputs).len();
            // as many side by side as have the size of an evaluation
            for words in left.chunks_mut(inputs / places) {
                let starts: Vec<LearnedEmbedding> = words.iter().map(|w| w.start.clone()).collect();
                let losses = self.start_losses(&starts, share).await.map_err(SessionError::from)?;
                for (word, loss) in words.iter_mut().zip(losses) {
                    word.loss += share.weight(inputs) * f64::from(loss);
                }
                done += places * words.len();
                told(done, total).await?;
            }
            sort(&mut left);
        }
        // the run evaluates other shares
        self.evaluation.forget();
        let best = left.iter().filter(|tried| tried.loss.is_finite());
        let best = best.map(|tried| (tried.word.to_owned(), tried.loss)).collect();
        self.initial = left.into_iter().next().ok_or(SessionError::NoWords)?.start;
        Ok(TriedWords { best, of: words.len() })
    }

    /// As many vectors as the run's own, from the rows of a word's tokens.
    async fn start_from(
        &self,
        config: &TrainConfig,
        tables: &[Tensor<2>],
        ids: &PromptIds,
    ) -> Result<LearnedEmbedding, EmbeddingError> {
        let (token, widths) = (&config.placeholder_token, self.initial.widths());
        let count = self.initial.num_vectors();
        embedding::init::from_tokens(token, tables, widths, ids, count).await
    }

    /// The mean objective over a share of the fixed batch for vectors that start like each of these:
    /// at its start, an adapter changes nothing.
    async fn start_losses(
        &self,
        starts: &[LearnedEmbedding],
        share: Share,
    ) -> Result<Vec<f32>, EmbeddingError> {
        let device = self.objective.device();
        let concepts: Vec<ConceptWeights> =
            starts.iter().map(|start| Concept::new(start, &device).plain()).collect();
        let losses = self.evaluation.losses_side_by_side(&self.objective, &concepts, share);
        Ok(read(losses).await?)
    }
}

/// The lowest loss first; of equal words, the first stays the better.
fn sort(words: &mut [Candidate<'_>]) {
    // what is no number may have either sign
    let rank = |word: &Candidate<'_>| if word.loss.is_nan() { f64::INFINITY } else { word.loss };
    words.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
}

/// How many words are compared on which share of the inputs, in turn. The shares hold every input once,
/// in order: two of the first few inputs, then each as many as there were before it.
fn rounds(words: usize, inputs: usize) -> Vec<(usize, Share)> {
    let count = (inputs / FIRST_INPUTS).max(1).ilog2();
    let later = (1..=count).rev().map(|power| Share { index: 1, count: 1 << power });
    let shares = std::iter::once(Share { index: 0, count: 1 << count }).chain(later);
    let left = |words: &usize| Some((words / ONE_OF).max(LAST_WORDS.min(*words)));
    std::iter::successors(Some(words), left).zip(shares).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_no_number_comes_last_whatever_its_sign() {
        let start = LearnedEmbedding::new("<a>", vec![0.5], 1, 1).unwrap();
        let losses = [("a", -f64::NAN), ("b", 0.2), ("c", f64::NAN), ("d", 0.1), ("e", 0.2)];
        let word = |(word, loss)| Candidate { word, start: start.clone(), loss };
        let mut words: Vec<Candidate<'_>> = losses.into_iter().map(word).collect();
        sort(&mut words);
        let order: Vec<&str> = words.iter().map(|word| word.word).collect();
        assert_eq!(order, ["d", "b", "e", "a", "c"]);
    }

    #[test]
    fn the_rounds_hold_every_input_once_and_begin_with_all_words_on_few() {
        for inputs in 1..600 {
            let (words, shares): (Vec<usize>, Vec<Share>) = rounds(125, inputs).into_iter().unzip();
            let places: Vec<usize> = shares.iter().flat_map(|share| share.places(inputs)).collect();
            assert_eq!(places, (0..inputs).collect::<Vec<_>>());
            assert!(shares[0].places(inputs).len() < 2 * FIRST_INPUTS);
            assert_eq!(words, [125, 41, 13, 4, 4, 4, 4, 4, 4][..words.len()]);
        }
        assert_eq!(rounds(3, 4).iter().map(|(words, _)| *words).collect::<Vec<_>>(), [3, 3]);
    }
}
