//! What the page is told when a call fails.

use dvar::{
    concept::AdapterError, config::ConfigError, data::DataError, early_stopping::CriterionError,
    embedding::EmbeddingError, pipelines::PipelineError, session::SessionError,
    tensor::DeviceError, trainer::TrainError,
};
use dvar_models::{ModelError, tokenizer::TokenizerError};
use wasm_bindgen::JsValue;

/// A failed call, by whose fault it is: the `name` of the page's `Error`.
#[derive(Debug)]
pub enum PageError {
    /// `InputError`: what the visitor gave.
    Input(String),
    /// `ModelError`: the model's files.
    Model(String),
    /// `DeviceError`: the GPU.
    Device(String),
    /// `MemoryError`: the device has too little memory.
    Memory(String),
    /// `Error`: anything else.
    Other(String),
    /// What the page's own function threw, as it was.
    Thrown(JsValue),
}

impl PageError {
    pub fn input(error: impl std::fmt::Display) -> Self {
        Self::Input(error.to_string())
    }

    pub fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<PageError> for JsValue {
    fn from(error: PageError) -> Self {
        let (name, message) = match error {
            PageError::Input(message) => ("InputError", message),
            PageError::Model(message) => ("ModelError", message),
            PageError::Device(message) => ("DeviceError", message),
            PageError::Memory(message) => ("MemoryError", message),
            PageError::Other(message) => ("Error", message),
            PageError::Thrown(thrown) => return thrown,
        };
        let error = js_sys::Error::new(&message);
        error.set_name(name);
        error.into()
    }
}

impl From<DeviceError> for PageError {
    fn from(error: DeviceError) -> Self {
        match error.out_of_memory() {
            Some(_) => Self::Memory(error.to_string()),
            None => Self::Device(error.to_string()),
        }
    }
}

impl From<ModelError> for PageError {
    fn from(error: ModelError) -> Self {
        Self::Model(error.to_string())
    }
}

impl From<TokenizerError> for PageError {
    fn from(error: TokenizerError) -> Self {
        use TokenizerError::{Config, Merges, Vocabulary};
        match error {
            Vocabulary { .. } | Merges(_) | Config(_) => Self::Model(error.to_string()),
            _ => Self::input(error),
        }
    }
}

impl From<PipelineError> for PageError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Model(error) => error.into(),
            PipelineError::Tokenizer(error) => error.into(),
            PipelineError::Mismatch { .. } => Self::Model(error.to_string()),
            PipelineError::Device(error) => error.into(),
            PipelineError::Ended(_) => Self::other(error),
            PipelineError::Scheduler(_)
            | PipelineError::Size { .. }
            | PipelineError::Precision { .. }
            | PipelineError::Pictures(_) => Self::input(error),
        }
    }
}

impl From<EmbeddingError> for PageError {
    fn from(error: EmbeddingError) -> Self {
        match error {
            EmbeddingError::Device(error) => error.into(),
            _ => Self::input(error),
        }
    }
}

impl From<AdapterError> for PageError {
    fn from(error: AdapterError) -> Self {
        match error {
            AdapterError::Device(error) => error.into(),
            _ => Self::input(error),
        }
    }
}

impl From<SessionError> for PageError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Pipeline(error) => error.into(),
            SessionError::Embedding(error) => error.into(),
            SessionError::Adapter(error) => error.into(),
            SessionError::Config(error) => error.into(),
            SessionError::Unsuitable(_) => Self::input(error),
        }
    }
}

impl From<ConfigError> for PageError {
    /// The criteria know no options; the page shows an error where its option is.
    fn from(error: ConfigError) -> Self {
        let option = match &error {
            ConfigError::Criterion(CriterionError::Window { .. }) => "window",
            ConfigError::Criterion(CriterionError::Threshold { .. }) => "threshold",
            ConfigError::Criterion(CriterionError::MinDelta { .. }) => "min-delta",
            _ => return Self::input(error),
        };
        Self::Input(format!("`--{option}`: {error}"))
    }
}

impl From<DataError> for PageError {
    fn from(error: DataError) -> Self {
        Self::input(error)
    }
}

impl From<TrainError> for PageError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Device(error) => error.into(),
            TrainError::State(_) | TrainError::NonFinite { .. } => Self::input(error),
            _ => Self::other(error),
        }
    }
}
