//! Why a scheduler cannot be built.

/// Why a scheduler cannot be built. The caller who read a file adds its path.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// The text is not JSON, or a key holds something of the wrong kind.
    #[error("the scheduler configuration cannot be read: {0}")]
    Json(String),
    /// A key of the configuration holds a value that makes no sense.
    #[error("`{key}` in the scheduler configuration is `{value}`, but must be {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
    /// A key asks for a variant of the method that is not implemented.
    #[error(
        "`{key}` in the scheduler configuration is `{value}`, but `{scheduler}` supports only \
         `{supported}`; choose another scheduler"
    )]
    Unsupported {
        /// The key.
        key: &'static str,
        /// What it holds.
        value: String,
        /// The name of the scheduler that was asked for.
        scheduler: &'static str,
        /// The one value that is implemented.
        supported: &'static str,
    },
    /// `_class_name` is the class of no scheduler in the list.
    #[error("the scheduler class `{class_name}` is not known; use one of {known}")]
    UnknownClass {
        /// The class that the configuration names.
        class_name: String,
        /// The classes in the list, each in backticks.
        known: String,
    },
    /// `_class_name` is that of a sampler for models with another loss.
    #[error("`{class_name}` is for models that {models}")]
    OtherLoss {
        /// The class that the configuration names.
        class_name: String,
        /// What these models are, and what to do.
        models: &'static str,
    },
    /// The name is none of a prediction type.
    #[error("the prediction type `{name}` is not known; use `epsilon` or `v_prediction`")]
    UnknownPredictionType {
        /// The name that was given.
        name: String,
    },
    /// The name is that of no scheduler in the list.
    #[error("the scheduler `{name}` is not known; use one of {known}")]
    UnknownKind {
        /// The name that was given.
        name: String,
        /// The names in the list, each in backticks.
        known: String,
    },
    /// The name is that of no beta schedule.
    #[error("the beta schedule `{name}` is not known; use one of {known}")]
    UnknownBetaSchedule {
        /// The name that was given.
        name: String,
        /// The names of all beta schedules, each in backticks.
        known: String,
    },
    /// The number of sampling steps does not fit the scheduler.
    #[error("`num_inference_steps` is {steps}, but `{scheduler}` needs {expected}")]
    Steps {
        /// The number of steps that was asked for.
        steps: usize,
        /// The name of the scheduler that was asked for.
        scheduler: &'static str,
        /// What would fit.
        expected: String,
    },
    /// DDIM's eta is outside its range.
    #[error("`eta` is {0}, but must be between 0 and 1")]
    Eta(f64),
}

impl SchedulerError {
    /// `key` holds `value`, which is not `expected`.
    pub(super) fn value(key: &'static str, value: impl ToString, expected: &str) -> Self {
        Self::Value { key, value: value.to_string(), expected: expected.into() }
    }
}
