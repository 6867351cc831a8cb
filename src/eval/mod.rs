//! Measuring instruments: the fixed evaluation batch and CLIP scores.

mod clip;
mod fixed_batch;

pub use clip::ClipScorer;
pub use fixed_batch::{EvaluationDraws, FixedBatch};
