//! The callbacks and criteria of this crate in burn's own `Learner`.
//!
//! [`StepwiseLearningStrategy`] shows the model to callbacks before and after every optimizer
//! step and stops at the step they say; burn's metrics, renderer, checkpoints and `Interrupter`
//! work as with burn's own strategy. [`EpochEarlyStopping`] is for those who stay with burn's
//! epochs.
//!
//! ```no_run
//! # use burn::{module::Module, nn::Linear, prelude::*, train::*};
//! # use dvar_callbacks::{early_stopping::*, learner::StepwiseLearningStrategy, *};
//! # fn example<M: LearnerModel>(training: SupervisedTraining<M>, learner: Learner<M>, device: Device,
//! #     fixed_batch: Tensor<2>, objective: fn(&M, &Tensor<2>) -> Tensor<1>, accuracy: fn(&M) -> f64,
//! # ) -> Result<(), CriterionError> {
//! let strategy = StepwiseLearningStrategy::new(device)
//!     .with_callback(
//!         DeterministicEval::new(fixed_batch, objective).stop_when(Dvar::new(310, 0.15)?),
//!     )
//!     .with_callback(
//!         ScoreMonitor::new(async move |model: &M, _| Ok(vec![("accuracy", accuracy(model))]))
//!             .every(50)
//!             .stop_when(ScorePatience::new(0.02, 6)?),
//!     );
//! let outcome = strategy.outcome();
//! let result = training.with_training_strategy(strategy.into()).launch(learner);
//! println!("{:?}", result.interrupted); // why it stopped, in words
//! println!("{:?}", outcome.stop()); // and as a value
//! # Ok(())
//! # }
//! ```

mod epoch_early_stopping;
mod figures;
mod outcome;
mod run;
mod strategy;

pub use epoch_early_stopping::EpochEarlyStopping;
pub use figures::{FigureMetric, Figures};
pub use outcome::Outcome;
pub use strategy::StepwiseLearningStrategy;
