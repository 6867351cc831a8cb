//! What a run found out before its first step, kept with its saved states: a run that goes on does not
//! find it out again.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::TriedWords;
use crate::{
    concept::Concept,
    trainer::{Callback, TrainError, TrainState},
};

/// What is kept under a name of its own.
pub(super) trait Keep: Serialize + DeserializeOwned {
    /// Its callback's name.
    const NAME: &'static str;
    /// What it is, for messages.
    const WHAT: &'static str;

    /// What the run had found out that goes on from this state; none where it had not looked, or where
    /// the state is of a version that did not keep it.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if it cannot be read.
    fn saved(state: &TrainState) -> Result<Option<Self>, TrainError> {
        let saved = state.callbacks.get(Self::NAME).cloned();
        saved.map(serde_json::from_value).transpose().map_err(|error| {
            TrainError::state(format!(
                "the saved {} is broken ({error}); start the run anew",
                Self::WHAT
            ))
        })
    }
}

/// The word that a run starts from where one was looked for.
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
}

impl Keep for FoundWord {
    const NAME: &'static str = "found-word";
    const WHAT: &'static str = "word that it started from";
}

/// The samples before training, which were drawn and shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SamplesBefore {
    /// Their score, where there is a scorer.
    pub clip_i: Option<f64>,
}

impl Keep for SamplesBefore {
    const NAME: &'static str = "samples-before";
    const WHAT: &'static str = "score of the samples before training";
}

/// Whether a run that goes on from this state knows what its samples before training scored.
pub fn knows_samples_before(state: &TrainState) -> bool {
    SamplesBefore::saved(state).is_ok_and(|saved| saved.is_some())
}

/// What stands for the files of a run's model and of the CLIP that scores it, by whoever can look at them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMark(pub String);

impl ModelMark {
    /// Whether the run that goes on from this state began with these files; also where the state is of a
    /// version that did not say.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if what it says cannot be read.
    pub fn is_of(&self, state: &TrainState) -> Result<bool, TrainError> {
        Ok(Self::saved(state)?.is_none_or(|begun_with| begun_with == *self))
    }
}

impl Keep for ModelMark {
    const NAME: &'static str = "model-mark";
    const WHAT: &'static str = "mark of the model's files";
}

/// Takes part in a run only to be saved with it; what was saved is read before the networks are loaded.
pub(super) struct Kept<'a, T>(pub &'a T);

impl<T: Keep> Callback<Concept, TrainState> for Kept<'_, T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn save(&self) -> Result<Option<serde_json::Value>, TrainError> {
        serde_json::to_value(self.0).map(Some).map_err(TrainError::state)
    }
}
