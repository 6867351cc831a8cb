//! What a run measures, writes and shows. The trainer knows none of it.

#[cfg(not(target_arch = "wasm32"))]
mod checkpoint;
#[cfg(feature = "cli")]
pub mod loggers;
#[cfg(not(target_arch = "wasm32"))]
mod metrics;
#[cfg(not(target_arch = "wasm32"))]
mod saves;
#[cfg(not(target_arch = "wasm32"))]
mod timing;

pub use dvar_callbacks::{
    DeterministicEval, Evaluation, FactorStreams, Factors, Interrupt, OnBatch, ScoreMonitor, Scores,
};

#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint::{Checkpoint, write_concept};
#[cfg(not(target_arch = "wasm32"))]
pub use metrics::MetricsLog;
#[cfg(not(target_arch = "wasm32"))]
pub use saves::{SaveClock, Saves};
#[cfg(not(target_arch = "wasm32"))]
pub use timing::{Seconds, Timing};
