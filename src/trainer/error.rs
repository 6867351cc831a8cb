//! Why a run ended otherwise than by its criterion.

use crate::{device_failure::device_failure, early_stopping::CriterionError};

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
    #[error("the device failed: {0}")]
    Device(String),
    /// The device has too little memory.
    #[error(
        "the device has no memory for {0} bytes more; set `--gradient-checkpointing` or \
         `--mixed-precision bf16`, or lower `--train-batch-size` and `--eval-batch-size`"
    )]
    OutOfMemory(u64),
}

/// How cubecl 0.11.3 begins to say that memory is out; the number of bytes follows.
const OUT_OF_MEMORY: [&str; 2] =
    ["out of device memory allocating ", "can't allocate buffer of size: "];

impl TrainError {
    /// The device's failure, which is known by its words alone where memory is out.
    pub(crate) fn device(error: &impl std::fmt::Display) -> Self {
        let told = error.to_string();
        let bytes = OUT_OF_MEMORY.iter().find_map(|words| {
            let (_, rest) = told.split_once(words)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        });
        bytes.map_or_else(|| Self::Device(device_failure(error)), Self::OutOfMemory)
    }

    /// The failure of the callback called `name`: an error, or a sentence.
    pub fn callback(
        name: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Callback { callback: name.into(), source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_memory_says_what_to_turn() {
        let told = "Several failures at once\nCaused by:\n  An IO error happened\n  \
            can't allocate buffer of size: 629145600\nNo backtrace available";
        let error = TrainError::device(&told);
        assert!(matches!(error, TrainError::OutOfMemory(629_145_600)), "{error}");
        assert!(error.to_string().contains("`--gradient-checkpointing`"));
        let told = "out of device memory allocating 512 bytes\n";
        assert!(matches!(TrainError::device(&told), TrainError::OutOfMemory(512)));
        assert!(matches!(TrainError::device(&"the device was lost"), TrainError::Device(_)));
    }
}
