//! The training loop, step by step, on any device: no files, threads, clocks or printing here.
//!
//! `Trainer::train` is the loop (with the feature `diffusion`). What a run writes, shows or decides
//! beyond the update itself is a [`Callback`], which burn's `Learner` takes too: see
//! `StepwiseLearningStrategy` (with the feature `train`).

mod callback;
#[cfg(any(feature = "train", feature = "diffusion"))]
pub(crate) mod drive;
mod error;
mod state;
#[cfg(feature = "diffusion")]
mod train;

pub use crate::host_tensor::HostTensor;
pub use callback::{Callback, LocalBoxFuture, Record, StepContext};
pub use error::TrainError;
pub use state::TrainState;
#[cfg(feature = "diffusion")]
pub use train::{Trainer, TrainerConfig};
