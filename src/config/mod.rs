//! The options of a run: one struct for flags, configuration files and model presets, and what
//! becomes of it when it is checked.

mod checked;
mod options;

pub use checked::TrainConfig;
pub use options::{ConfigError, Logger, TrainOptions};
