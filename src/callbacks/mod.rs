//! What a run measures, writes and shows. The trainer knows none of it.

#[cfg(not(target_arch = "wasm32"))]
mod checkpoint;
mod deterministic_eval;
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

#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint::{Checkpoint, write_concept};
pub use deterministic_eval::DeterministicEval;
pub use interrupt::Interrupt;
#[cfg(not(target_arch = "wasm32"))]
pub use metrics::MetricsLog;
#[cfg(feature = "cli")]
pub use progress::Progress;
pub use score_monitor::{ScoreMonitor, Scores};
#[cfg(not(target_arch = "wasm32"))]
pub use timing::{Seconds, Timing};
