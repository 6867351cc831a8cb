//! What a run measures, writes and shows. The trainer knows none of it.

#[cfg(not(target_arch = "wasm32"))]
mod checkpoint;
mod deterministic_eval;
mod factors;
mod interrupt;
#[cfg(feature = "cli")]
pub mod loggers;
#[cfg(not(target_arch = "wasm32"))]
mod metrics;
mod score_monitor;
#[cfg(not(target_arch = "wasm32"))]
mod timing;

#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint::{Checkpoint, write_concept};
pub use deterministic_eval::{DeterministicEval, Evaluation, OnBatch};
pub use factors::{FactorStreams, Factors};
pub use interrupt::Interrupt;
#[cfg(not(target_arch = "wasm32"))]
pub use metrics::MetricsLog;
pub use score_monitor::{ScoreMonitor, Scores};
#[cfg(not(target_arch = "wasm32"))]
pub use timing::{Seconds, Timing};
