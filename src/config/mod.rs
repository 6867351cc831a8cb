//! The options of a run: one table for flags, configuration files and model presets, and what
//! becomes of it when it is checked.

mod checked;
mod drawing;
mod error;
mod groups;
mod initializer;
mod kinds;
mod method;
mod names;
mod optimizers;
mod options;
mod pictures;
mod presets;
mod range;
mod training;

pub use checked::TrainConfig;
pub use drawing::DrawingAdvice;
pub use error::ConfigError;
pub use groups::{
    DataOptions, EvaluationOptions, LogOptions, MethodOptions, OptimizerOptions, PictureOptions,
    SampleOptions, StartOptions, StoppingOptions, TrainingOptions,
};
pub use initializer::Initializer;
pub use kinds::{InitStrategy, Logger, MixedPrecision, Stopping, TextEncoders};
pub use method::MethodConfig;
pub use optimizers::{OptimizerKind, UnknownOptimizer};
pub use options::TrainOptions;
pub use presets::Preset;
