//! What can go wrong with a model or a drawing.

use dvar_models::{ModelError, tokenizer::TokenizerError};

use crate::{schedulers::SchedulerError, tensor::DeviceError};

/// Why a model folder or a prompt could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A file of the model is missing or broken.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The scheduler's configuration, or what was asked of it, makes no sense.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// The tokenizer's files are broken, or the placeholder cannot be a token.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The parts of the folder do not fit each other.
    #[error("the parts of `{model}` do not fit: {problem}")]
    Mismatch {
        /// The folder.
        model: String,
        /// Which parts.
        problem: String,
    },
    /// A width or height that the model cannot draw.
    #[error(
        "cannot draw {width} x {height} pixels; both must be multiples of {multiple}, up to 2048"
    )]
    Size {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
        /// What both must be a multiple of.
        multiple: usize,
    },
    /// A type that the device does not compute in.
    #[error("{device} does not compute in {precision}; take `--mixed-precision {instead}`")]
    Precision {
        /// Which device.
        device: String,
        /// The type.
        precision: &'static str,
        /// What it computes in.
        instead: &'static str,
    },
    /// A picture whose values are no numbers.
    #[error(
        "a picture's values are no numbers: the networks overflow, which those in fp16 do first; take \
         `--mixed-precision bf16` or `no`, or a weaker LoRA"
    )]
    NotFinite,
    /// Pictures that cannot be compared.
    #[error("the pictures cannot be compared: {0}")]
    Pictures(String),
    /// The device failed while a result was read from it.
    #[error("{0}")]
    Device(#[from] DeviceError),
    /// Whoever watches a drawing ended it.
    #[error("the drawing was ended: {0}")]
    Ended(#[source] Box<dyn std::error::Error + Send + Sync>),
}
