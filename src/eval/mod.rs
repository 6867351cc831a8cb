//! Measuring instruments: the fixed evaluation batch, and the scores of pictures.

mod clip;
mod dino;
mod evaluation_draws;
mod features;
mod fixed_batch;
mod fixed_batches;
mod lpips;
mod score;
mod scores;
mod switches;
mod vocabulary;

use dvar_models::{ModelError, parse_json, weights::ModelSource};
use serde::{Deserialize, de::DeserializeOwned};

use crate::pipelines::PipelineError;

pub use clip::{ClipScorer, without_placeholder};
pub use dino::DinoScorer;
pub use evaluation_draws::{EvaluationDraws, INTERVALS};
pub use features::Features;
pub use fixed_batch::FixedBatch;
pub(crate) use fixed_batches::FixedBatches;
pub use lpips::LpipsScorer;
pub use score::Score;
pub use scores::{References, Scorers, Scores};
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

/// What says how pictures are prepared for a scorer in `folder`: `preprocessor_config.json`, or its
/// part in what transformers 5 writes for a processor of pictures and texts, with the file's name for
/// messages; none where there is neither.
fn preprocessor<T: DeserializeOwned>(
    files: &dyn ModelSource,
    folder: &str,
) -> Result<Option<(T, String)>, ModelError> {
    #[derive(Deserialize)]
    struct Processor<T> {
        image_processor: T,
    }
    let own = format!("{folder}/preprocessor_config.json");
    if let Some(json) = files.read_optional(&own)? {
        let own = files.display(&own);
        return Ok(Some((parse_json(&json, &own)?, own)));
    }
    let whole = format!("{folder}/processor_config.json");
    let Some(json) = files.read_optional(&whole)? else { return Ok(None) };
    let whole = files.display(&whole);
    let processor: Processor<T> = parse_json(&json, &whole)?;
    Ok(Some((processor.image_processor, whole)))
}
