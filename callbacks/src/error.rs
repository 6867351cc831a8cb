//! Why a run ended otherwise than by its criterion.

use std::{error::Error, fmt};

use crate::{DeviceError, early_stopping::CriterionError};

/// What is no longer a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// The training loss of a step, before its update.
    TrainingLoss,
    /// The length of its gradient.
    Gradient,
    /// How far the trained vectors have moved.
    Distance,
    /// A trained weight.
    Weight,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TrainingLoss => "training loss",
            Self::Gradient => "gradient",
            Self::Distance => "distance from the initial vectors",
            Self::Weight => "trained weight",
        })
    }
}

/// An error that ends a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The training loss, or what is computed of it, is no longer a number.
    #[error("the {what} is {value} at step {}; {}", .step.saturating_add(1), remedy(*what, *step))]
    NonFinite {
        /// Which number.
        what: Quantity,
        /// NaN or an infinity.
        value: f64,
        /// The step's index, from 0; the message counts from 1.
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
        /// The callback's own error. No loop changes it: whoever made the callback gets it back by
        /// a downcast.
        source: Box<dyn Error + Send + Sync>,
    },
    /// One of those that compute a step together failed; says which.
    #[error("{replica}: {source}")]
    Replica {
        /// The one that failed, such as ``device `cuda:1` ``.
        replica: String,
        /// What it says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A saved state cannot be gone on from; says why.
    #[error("cannot resume: {0}")]
    State(#[source] Box<dyn Error + Send + Sync>),
    /// The device failed while a result was read from it.
    // its words again, not `transparent`: `source` must lead to the device's error
    #[error("{0}")]
    Device(#[from] DeviceError),
}

impl TrainError {
    /// The failure of the callback called `name`: an error, or a sentence.
    pub fn callback(
        name: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Callback { callback: name.into(), source: source.into() }
    }

    /// The failure of the replica that is called so: an error, or a sentence.
    pub fn replica(
        replica: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Replica { replica: replica.into(), source: source.into() }
    }

    /// The failure to go on from a saved state: an error, or a sentence.
    pub fn state(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::State(source.into())
    }

    /// The option to change, by its name in a configuration file, where one is.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::NonFinite { what, step, .. } if is_of_model(*what, *step) => None,
            Self::NonFinite { .. } => Some("learning_rate"),
            Self::Criterion(error) => error.option(),
            Self::Callback { .. } | Self::Replica { .. } | Self::State(_) | Self::Device(_) => None,
        }
    }
}

/// Whether the model itself gives what is no number: nothing was learned before the first loss.
fn is_of_model(what: Quantity, step: usize) -> bool {
    what == Quantity::TrainingLoss && step == 0
}

fn remedy(what: Quantity, step: usize) -> &'static str {
    if is_of_model(what, step) {
        "nothing was learned yet, so the model's own weights are no numbers, or it overflows in fp16: take \
         another copy of it, or bf16"
    } else {
        "lower the learning rate, or where fp16 computes take bf16"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_no_number_names_its_step_from_1_and_its_option() {
        let error =
            TrainError::NonFinite { what: Quantity::TrainingLoss, value: f64::NAN, step: 3 };
        assert!(error.to_string().starts_with("the training loss is NaN at step 4; "), "{error}");
        assert_eq!(error.option(), Some("learning_rate"));
        let first =
            TrainError::NonFinite { what: Quantity::TrainingLoss, value: f64::NAN, step: 0 };
        assert!(first.to_string().contains("at step 1; nothing was learned yet"), "{first}");
        assert_eq!(first.option(), None, "no learning rate has been at work");
        let gradient = TrainError::NonFinite { what: Quantity::Gradient, value: f64::NAN, step: 0 };
        assert!(gradient.to_string().contains("at step 1; lower the learning rate"), "{gradient}");
        assert_eq!(gradient.option(), Some("learning_rate"));
        let refused = CriterionError::Window { window: 1 };
        assert_eq!(TrainError::from(refused).option(), Some("window"));
        assert_eq!(TrainError::callback("disk", "it is full").option(), None);
    }

    #[test]
    fn a_callback_s_own_error_comes_back_as_it_was() {
        let own = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let TrainError::Callback { source, .. } = TrainError::callback("disk", own) else {
            panic!("another error")
        };
        let own = source.downcast::<std::io::Error>().unwrap();
        assert_eq!(own.kind(), std::io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_device_s_error_is_the_source_of_the_training_s() {
        let error = TrainError::from(DeviceError::new("the device was lost"));
        assert!(error.source().unwrap().is::<DeviceError>());
        assert_eq!(error.to_string(), "the device failed: the device was lost");
    }
}
