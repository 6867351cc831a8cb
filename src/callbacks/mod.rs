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

#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint::Checkpoint;
pub use deterministic_eval::DeterministicEval;
pub use interrupt::Interrupt;
#[cfg(not(target_arch = "wasm32"))]
pub use metrics::MetricsLog;
#[cfg(feature = "cli")]
pub use progress::Progress;
