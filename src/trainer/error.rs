//! Why a run ended otherwise than by its criterion.

use crate::{early_stopping::CriterionError, tensor::DeviceError};

/// An error that ends a run. The trainer keeps the last good vectors.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The training loss or its gradient is no longer a number.
    #[error(
        "the {what} is {value} at step {step}; lower `--learning-rate`, or where fp16 computes take \
         `--mixed-precision bf16`"
    )]
    NonFinite {
        /// Loss, gradient or distance.
        what: &'static str,
        /// NaN or an infinity.
        value: f64,
        /// The step.
        step: usize,
    },
    /// The stopping criterion refused a value.
    #[error(transparent)]
    Criterion(#[from] CriterionError),
    /// A callback failed.
    #[error("{callback}: {source}")]
    Callback {
        /// The callback's name.
        callback: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A saved state cannot be gone on from.
    #[error("cannot resume: {0}")]
    State(String),
    /// The device failed while a result was read from it.
    #[error("{0}")]
    Device(#[from] DeviceError),
}

impl TrainError {
    /// The failure of the callback called `name`: an error, or a sentence.
    pub fn callback(
        name: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Callback { callback: name.into(), source: source.into() }
    }
}
