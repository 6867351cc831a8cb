//! The update: AdamW or SAM, and the learning rate of each step.

mod adamw;
mod loss_scaler;
pub mod lr_schedule;
mod optimizer;
mod sam;

pub use adamw::{AdamW, AdamWConfig};
pub use loss_scaler::LossScaler;
pub use lr_schedule::{LrSchedule, LrScheduler, UnknownLrScheduler};
pub use optimizer::{Optimizer, OptimizerConfig};
pub use sam::SamConfig;
