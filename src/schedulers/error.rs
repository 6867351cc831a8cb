use super::{BetaSchedule, SchedulerKind};

/// Why a scheduler cannot be built. The caller who read a file adds its path.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SchedulerError {
    /// The text is not JSON, or a key holds something of the wrong kind.
    #[error("the scheduler configuration cannot be read: {0}")]
    Json(String),
    /// A key of the configuration holds a value that makes no noise schedule.
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
        "`{key}` in the scheduler configuration is `{value}`, but `{kind}` supports only \
         `{supported}`; choose another scheduler"
    )]
    Unsupported {
        /// The key.
        key: &'static str,
        /// What it holds.
        value: String,
        /// The scheduler asked for.
        kind: SchedulerKind,
        /// The one value that is implemented.
        supported: &'static str,
    },
    /// `_class_name` is none of the six classes.
    #[error("the scheduler class `{0}` is not known; use one of {known}", known = SchedulerKind::class_names())]
    UnknownClass(String),
    /// The name is none of the six schedulers.
    #[error("the scheduler `{0}` is not known; use one of {known}", known = SchedulerKind::names())]
    UnknownKind(String),
    /// The name is none of the three beta schedules.
    #[error("the beta schedule `{0}` is not known; use one of {known}", known = BetaSchedule::names())]
    UnknownBetaSchedule(String),
    /// The number of sampling steps does not fit the scheduler.
    #[error("`num_inference_steps` is {steps}, but `{kind}` needs {expected}")]
    Steps {
        /// The number of steps asked for.
        steps: usize,
        /// The scheduler asked for.
        kind: SchedulerKind,
        /// What would fit.
        expected: String,
    },
    /// DDIM's eta is outside its range.
    #[error("`eta` is {0}, but must be between 0 and 1")]
    Eta(f64),
}
