//! The training loop, step by step, on any device: no files, threads, clocks or printing here.
//!
//! [`Trainer::train`] is the loop. What a run writes, shows or decides beyond the update itself
//! is a [`Callback`].

mod callback;
mod error;
mod state;
mod train;

pub use callback::{Callback, LocalBoxFuture, Record, StepContext};
pub use error::TrainError;
pub use state::TrainState;
pub use train::{Trainer, TrainerConfig};
