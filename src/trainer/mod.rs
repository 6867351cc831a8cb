//! The training loop, step by step, on any device: no files, threads, clocks or printing here.
//!
//! [`Trainer::train`] is the loop. What a run writes, shows or decides beyond the update itself is a
//! [`Callback`] over a [`Concept`](crate::concept::Concept) and a [`TrainState`]. Callbacks that look
//! at neither also take part in burn's `Learner`: see the module `burn_train`.

mod replicas;
mod state;
mod train;

pub use dvar_callbacks::{
    Callback, LocalBoxFuture, Quantity, Record, RunState, StepContext, TrainError, callback_runner,
};
pub use replicas::{Part, Replicas, Task};
pub use state::TrainState;
pub use train::{Trainer, TrainerConfig};

/// The callbacks of a run, in the order of their turns.
pub type Callbacks<'a> = Vec<Box<dyn Callback<crate::concept::Concept, TrainState> + 'a>>;
