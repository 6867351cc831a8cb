//! What a run measures, writes and shows. The trainer knows none of it.

#[cfg(all(feature = "diffusion", not(target_arch = "wasm32")))]
mod checkpoint;
#[cfg(feature = "tui")]
mod dashboard;
mod deterministic_eval;
mod factors;
mod interrupt;
#[cfg(feature = "loggers")]
pub mod loggers;
#[cfg(not(target_arch = "wasm32"))]
mod metrics;
pub mod plot;
#[cfg(feature = "cli")]
mod progress;
mod score_monitor;
#[cfg(not(target_arch = "wasm32"))]
mod timing;

#[cfg(all(feature = "diffusion", not(target_arch = "wasm32")))]
pub use checkpoint::{Checkpoint, write_concept};
#[cfg(feature = "tui")]
pub use dashboard::Dashboard;
pub use deterministic_eval::{DeterministicEval, Evaluation, OnBatch};
pub use factors::{FactorStreams, Factors};
pub use interrupt::Interrupt;
#[cfg(not(target_arch = "wasm32"))]
pub use metrics::MetricsLog;
#[cfg(feature = "cli")]
pub use progress::Progress;
pub use score_monitor::{ScoreMonitor, Scores};
#[cfg(not(target_arch = "wasm32"))]
pub use timing::{Seconds, Timing};
