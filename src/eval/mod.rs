//! Measuring instruments: the fixed evaluation batch, and the scores of pictures.

mod clip;
mod dino;
mod features;
mod fixed_batch;
mod lpips;
mod score;
mod scores;
mod switches;
mod vocabulary;

use dvar_models::ModelError;
use serde::de::DeserializeOwned;

use crate::pipelines::PipelineError;

pub use clip::{ClipScorer, without_placeholder};
pub use dino::DinoScorer;
pub use features::Features;
pub use fixed_batch::{EvaluationDraws, FixedBatch, INTERVALS};
pub use lpips::LpipsScorer;
pub use score::Score;
pub use scores::{PromptPictures, References, Scorers, Scores};
pub use switches::{EvaluationSwitches, UnknownSwitches};
pub use vocabulary::{WORDS_AT_ONCE, WordScores};

/// A scorer lies in a folder of its own, of another layout than the models that draw.
fn in_transformers_layout(error: impl Into<PipelineError>) -> PipelineError {
    match error.into() {
        PipelineError::Model(ModelError::MissingFile { file, .. }) => ModelError::MissingFile {
            file,
            remedy: "give the folder of a whole scorer in transformers' layout".into(),
        }
        .into(),
        error => error,
    }
}

fn parse<T: DeserializeOwned>(json: &[u8], file: &str) -> Result<T, ModelError> {
    serde_json::from_slice(json)
        .map_err(|error| ModelError::Invalid { file: file.into(), reason: error.to_string() })
}
