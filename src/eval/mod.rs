//! Measuring instruments: the fixed evaluation batch and CLIP scores.

mod clip;
#[cfg(feature = "train")]
mod fixed_batch;
mod switches;

pub use clip::ClipScorer;
#[cfg(feature = "train")]
pub use fixed_batch::{EvaluationDraws, FixedBatch, INTERVALS};
pub use switches::{EvaluationSwitches, UnknownSwitches};
