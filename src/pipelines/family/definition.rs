//! What a family says about itself.

use std::{fmt, sync::Arc};

use dvar_models::{ModelError, tokenizer::PromptTokenizer, weights::ModelSource};

use crate::pipelines::{PipelineError, text_encoder::TextEncoderConfig};

/// A family of models: its names, and in what it differs from the others.
#[derive(Debug)]
pub struct ModelFamily {
    /// What people call it, such as `Stable Diffusion`.
    pub name: &'static str,
    /// Its pipeline in diffusers, as a `model_index.json` names it.
    pub class_name: &'static str,
    /// Whether a model without `model_index.json` is of this family, by its files.
    pub recognises: fn(&dyn ModelSource) -> bool,
    /// The autoencoder's folder.
    pub vae: fn(&dyn ModelSource) -> &'static str,
    /// The text encoders, whose hidden states the denoiser takes side by side in this order.
    pub text_encoders: fn(&dyn ModelSource) -> Vec<TextEncoderPart>,
    /// Whether a guidance scale mixes the prompt with the negative prompt, as the family's pipeline
    /// in diffusers decides.
    pub is_guided: fn(f64) -> bool,
    /// Whether no negative prompt stands for zeros in place of an empty text's hidden states.
    ///
    /// # Errors
    /// [`ModelError`] if the file that says so is broken.
    pub no_prompt_is_zero: fn(&dyn ModelSource) -> Result<bool, ModelError>,
}

/// The checked sizes of a text encoder, or what does not fit.
pub type CheckedConfig = Result<Arc<dyn TextEncoderConfig>, ModelError>;

/// One of a family's text encoders: its name, its folders, and how they are read.
#[derive(Clone, Debug)]
pub struct TextEncoderPart {
    /// What the vectors learned for it are called in files; none where it is the only one.
    pub key: Option<&'static str>,
    /// The folder of its configuration and its weights.
    pub folder: &'static str,
    /// Its tokenizer's folder.
    pub tokenizer: &'static str,
    /// Parses and checks its `config.json`, which messages call by the name that is given too.
    ///
    /// # Errors
    /// What does not fit.
    pub config: fn(&[u8], &str) -> CheckedConfig,
    /// Reads the tokenizer in a folder.
    ///
    /// # Errors
    /// What is missing or broken.
    pub vocabulary: fn(&dyn ModelSource, &str) -> Result<PromptTokenizer, PipelineError>,
}

impl PartialEq for ModelFamily {
    fn eq(&self, other: &Self) -> bool {
        self.class_name == other.class_name
    }
}

impl fmt::Display for ModelFamily {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}
