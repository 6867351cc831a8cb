//! The word that a run starts from where one was looked for, kept with its saved states: a run that goes
//! on does not look for it again.

use serde::{Deserialize, Serialize};

use super::TriedWords;
use crate::{
    concept::Concept,
    trainer::{Callback, TrainError, TrainState},
};

const NAME: &str = "found-word";

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FoundWord {
    pub word: String,
    /// Where words were tried as starts.
    pub tried: Option<TriedWords>,
}

impl FoundWord {
    /// The best of those that were tried; none where no loss is a number.
    pub fn best_of(tried: TriedWords) -> Option<Self> {
        let word = tried.best.first()?.0.clone();
        Some(Self { word, tried: Some(tried) })
    }

    /// What the run had found that goes on from this state; none where it had not looked, or where the
    /// state is of a version that did not keep it.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if it cannot be read.
    pub fn saved(state: &TrainState) -> Result<Option<Self>, TrainError> {
        let saved = state.callbacks.get(NAME).cloned();
        saved.map(serde_json::from_value).transpose().map_err(|error| {
            TrainError::state(format!(
                "the saved word that it started from is broken ({error}); start the run anew"
            ))
        })
    }
}

/// Takes part in a run only to be saved with it; what was saved is read before the networks are loaded.
impl Callback<Concept, TrainState> for &FoundWord {
    fn name(&self) -> &'static str {
        NAME
    }

    fn save(&self) -> Result<Option<serde_json::Value>, TrainError> {
        serde_json::to_value(self).map(Some).map_err(TrainError::state)
    }
}
