//! The update: AdamW, and the learning rate of each step.

mod adamw;
pub mod lr_schedule;

pub use adamw::{AdamW, AdamWConfig};
pub use lr_schedule::{LrSchedule, LrScheduler, UnknownLrScheduler};
