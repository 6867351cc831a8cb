//! Words tried as starts: the lower the deterministic loss, the better.

use super::{RankedWords, Session, SessionError};
use crate::{
    concept::Concept,
    config::TrainConfig,
    embedding::{self, EmbeddingError},
    pipelines::PromptIds,
    tensor::DeviceError,
};

impl Session {
    /// Starts the vectors from the word whose deterministic loss is lowest before any training, and
    /// gives all words with their losses, from the lowest.
    ///
    /// A model knows what it can draw: for pictures of a thing that it has a word for, that word
    /// stands out (docs/experiments.md), and no scorer is needed.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the device fails, or there is no word.
    pub async fn start_from_best_of(
        &mut self,
        config: &TrainConfig,
        words: &[(PromptIds, String)],
    ) -> Result<RankedWords, SessionError> {
        let mut tried = Vec::with_capacity(words.len());
        for (ids, word) in words {
            let (tables, widths) = (self.objective.encoder.token_tables(), self.initial.widths());
            let (token, count) = (&config.placeholder_token, self.initial.num_vectors());
            let start = embedding::init::from_tokens(token, &tables, widths, ids, count).await?;
            let concept = Concept::new(&start, &self.objective.device());
            let concept =
                concept.with_adapter(config.method.adapter(), &self.objective.unet, config.seed);
            let losses = self.evaluation_losses(&concept, 0).swap_remove(0);
            let loss = losses.into_data_async().await.map_err(DeviceError::new);
            let loss: f32 = loss.map_err(EmbeddingError::from)?.iter::<f32>().sum();
            tried.push((f64::from(loss), word, start));
        }
        // stable: of equal words the first is the better; a loss that is no number comes last
        tried.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
        let ranked = tried.iter().map(|(loss, word, _)| ((*word).clone(), *loss)).collect();
        let (_, _, best) = tried.into_iter().next().ok_or(SessionError::NoWords)?;
        self.initial = best;
        Ok(ranked)
    }
}
