//! The training loop, step by step, on any device: no files, threads, clocks or printing here.
//!
//! `Trainer::train` is the loop (with the feature `diffusion`). What a run writes, shows or decides
//! beyond the update itself is a [`Callback`], which burn's `Learner` takes too: see
//! `StepwiseLearningStrategy` (with the feature `train`).

mod callback;
pub(crate) mod drive;
mod error;
mod state;
mod train;

pub use crate::tensor::HostTensor;
pub use callback::{Callback, LocalBoxFuture, Record, StepContext};
pub use error::TrainError;
pub use state::TrainState;
pub use train::{Trainer, TrainerConfig};
