//! What is trained beside the vectors.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    concept::{LoraFormat, Method},
    config::TextEncoders,
};

/// What is trained beside the vectors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct MethodOptions {
    /// What is trained: textual-inversion, dreambooth-lora or custom-diffusion
    #[cfg_attr(feature = "cli", arg(long, value_name = "METHOD"))]
    pub method: Option<Method>,
    /// custom-diffusion: class of the concept, such as `cat`; with a model that has a `words.txt`,
    /// the vectors start from it if no other start is given
    #[cfg_attr(feature = "cli", arg(long, value_name = "TEXT"))]
    pub class_prompt: Option<String>,
    /// custom-diffusion: folder with pictures of the class; what is missing is drawn by the model, but
    /// not into a folder with pictures of your own [default: in the run's folder]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub class_data_dir: Option<PathBuf>,
    /// custom-diffusion: number of class pictures
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub num_class_images: Option<usize>,
    /// custom-diffusion: weight of the loss on the class pictures
    #[cfg_attr(feature = "cli", arg(long, value_name = "WEIGHT"))]
    pub prior_loss_weight: Option<f64>,
    /// dreambooth-lora: rank of the LoRA
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub lora_rank: Option<usize>,
    /// dreambooth-lora: factor of the LoRA in training and drawing
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCALE"))]
    pub lora_scale: Option<f64>,
    /// dreambooth-lora: also write the LoRA as these tools read it, into `loras/TOOL`; `bundle` is
    /// kohya's file with the embedding in it; several with commas between
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOOL", value_delimiter = ','))]
    pub lora_format: Option<Vec<LoraFormat>>,
    /// SDXL: the text encoders whose vectors are trained: 1, 2 or both [default: both]
    #[cfg_attr(feature = "cli", arg(long, value_name = "WHICH"))]
    pub text_encoders: Option<TextEncoders>,
}

impl MethodOptions {
    /// Those that a page has: no files.
    pub(in crate::config) fn on_page(self) -> Self {
        Self { class_data_dir: None, lora_format: None, ..self }
    }
}
