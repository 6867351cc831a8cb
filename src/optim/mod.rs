//! The update: AdamW or SAM, and the learning rate of each step.
//!
//! An optimiser is a file here with an [`OptimizerConfig`] that makes an [`Optimizer`], and an entry
//! in the list of `config/optimizers.rs`, from which the values of `--optimizer` follow.
//! `docs/extending.md` shows one that is added from outside of this crate.

mod adamw;
mod loss_scaler;
mod lr_pieces;
pub mod lr_schedule;
mod optimizer;
mod sam;

pub use adamw::AdamWConfig;
pub use loss_scaler::LossScaler;
pub use lr_pieces::{LrPieces, LrPiecesError};
pub use lr_schedule::{LrSchedule, LrShape, ScaledPieces, UnknownLrShape};
pub use optimizer::{Optimizer, OptimizerConfig};
pub use sam::SamConfig;
