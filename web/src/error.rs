//! What the page is told when a call fails.

use std::error::Error;

use dvar::{
    concept::LearnedConcept,
    pipelines::PipelineError,
    session::{RunError, is_given, option_of, sentence, sources},
    tensor::DeviceError,
    trainer::TrainError,
};
use dvar_models::{ModelError, tokenizer::TokenizerError};
use js_sys::Reflect;
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsCast, JsValue};

/// A failed call. Any error becomes [`PageError::Part`] by `?`, with its sources.
#[derive(Debug)]
pub enum PageError {
    /// What the page gave; a whole sentence, and the option that it is about.
    Input { message: String, option: Option<String> },
    /// The GPU is gone; a whole sentence.
    Device(String),
    /// The error of a part of the program.
    Part(Box<dyn Error + Send + Sync>),
    /// What the page's own function threw, as it was.
    Thrown(SendWrapper<JsValue>),
    /// A training ended by an error, and had learned something before.
    Trained { error: Box<PageError>, last_good: Box<LearnedConcept> },
}

impl PageError {
    /// What the page gave cannot be used.
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input { message: message.into(), option: None }
    }

    /// An option cannot be used.
    pub fn option(option: &str, message: impl Into<String>) -> Self {
        Self::Input { message: message.into(), option: Some(option.into()) }
    }

    /// Whether a function of the page threw it.
    pub fn is_thrown(&self) -> bool {
        match self {
            Self::Thrown(_) => true,
            Self::Trained { error, .. } => error.is_thrown(),
            _ => false,
        }
    }

    /// What a function of the page threw.
    pub fn thrown(value: JsValue) -> Self {
        Self::Thrown(SendWrapper::new(value))
    }

    /// What ended a run, with what it had learned before.
    pub fn ended(RunError { cause, last_good }: RunError<Self>) -> Self {
        let error = cause.into_error();
        match last_good {
            Some(last_good) => Self::Trained { error: Box::new(error), last_good },
            None => error,
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for PageError {
    fn from(error: E) -> Self {
        Self::Part(Box::new(error))
    }
}

/// An `Error` of one sentence: its `name` says whose fault it is, its `option`, if it has one, which
/// option is to be changed, and its `last_good` what was learned before.
impl From<PageError> for JsValue {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Input { message, option } => {
                thrown("InputError", &message, option.as_deref())
            }
            PageError::Device(message) => thrown("DeviceError", &message, None),
            PageError::Part(error) => {
                let error = error.as_ref();
                thrown(name(error), &sentence(error), option_of(error))
            }
            PageError::Thrown(value) => value.take(),
            PageError::Trained { error, last_good } => {
                let error = JsValue::from(*error);
                if let (true, Ok(files)) =
                    (error.is_instance_of::<js_sys::Error>(), crate::learned::files(&last_good))
                {
                    set(&error, "last_good", &files);
                }
                error
            }
        }
    }
}

fn thrown(name: &str, message: &str, option: Option<&str>) -> JsValue {
    let error = js_sys::Error::new(message);
    error.set_name(name);
    let error = JsValue::from(error);
    if let Some(option) = option {
        set(&error, "option", &option.into());
    }
    error
}

/// Sets a property; an object that takes none goes without it.
fn set(object: &JsValue, name: &str, value: &JsValue) {
    let _ = Reflect::set(object, &name.into(), value);
}

/// Whose fault an error is: the `name` of the page's `Error`.
fn name(error: &(dyn Error + 'static)) -> &'static str {
    let device = |error: &(dyn Error + 'static)| {
        error.downcast_ref::<DeviceError>().map(DeviceError::is_out_of_memory)
    };
    let diverged = |error: &(dyn Error + 'static)| {
        matches!(error.downcast_ref(), Some(TrainError::NonFinite { .. }))
    };
    match sources(error).find_map(device) {
        Some(true) => "MemoryError",
        Some(false) => "DeviceError",
        None if sources(error).any(is_model) => "ModelError",
        None if sources(error).any(|error| is_given(error) || diverged(error)) => "InputError",
        None => "Error",
    }
}

/// Whether the model's files are to blame.
fn is_model(error: &(dyn Error + 'static)) -> bool {
    use TokenizerError::{Config, Merges, Vocabulary};
    let tokenizer =
        |error: &TokenizerError| matches!(error, Vocabulary { .. } | Merges(_) | Config(_));
    error.is::<ModelError>()
        || error.downcast_ref().is_some_and(tokenizer)
        || match error.downcast_ref() {
            Some(PipelineError::Model(_) | PipelineError::Mismatch { .. }) => true,
            Some(PipelineError::Tokenizer(error)) => tokenizer(error),
            _ => false,
        }
}
