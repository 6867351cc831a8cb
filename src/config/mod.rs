//! The options of a run: one struct for flags, configuration files and model presets, and what
//! becomes of it when it is checked.

mod checked;
mod kinds;
mod optimizers;
mod options;
mod presets;
mod range;

pub use checked::{Initializer, MethodConfig, TrainConfig};
pub use kinds::{InitStrategy, Logger, MixedPrecision, Stopping};
pub use optimizers::{OptimizerKind, UnknownOptimizer};
pub use options::{ConfigError, TrainOptions};
pub use presets::Preset;
