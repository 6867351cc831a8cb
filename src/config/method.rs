//! What is trained, checked.

use std::path::PathBuf;

use super::{
    ConfigError, TrainOptions,
    range::{count, not_negative, out_of_range, positive, required, set, within},
};
use crate::concept::{AdapterConfig, Method};

/// What is trained, with its settings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MethodConfig {
    /// The vectors alone.
    TextualInversion,
    /// Low-rank additions to the UNet too.
    DreamboothLora {
        /// Rank of the additions.
        rank: usize,
        /// How strongly they count.
        scale: f64,
    },
    /// Keys and values of the attention to the text too, with prior preservation.
    CustomDiffusion {
        /// What the concept is one of.
        class_prompt: String,
        /// Folder with pictures of the class; the run's own if open.
        class_data_dir: Option<PathBuf>,
        /// How many of them.
        num_class_images: usize,
        /// What the loss on the class counts.
        prior_loss_weight: f64,
    },
}

impl MethodConfig {
    /// What is trained in the UNet.
    pub fn adapter(&self) -> AdapterConfig {
        match self {
            Self::TextualInversion => AdapterConfig::None,
            Self::DreamboothLora { rank, scale } => {
                AdapterConfig::Lora { rank: *rank, scale: *scale }
            }
            Self::CustomDiffusion { .. } => AdapterConfig::CustomDiffusion,
        }
    }

    /// Inputs for each picture of a batch: with prior preservation one of the class goes with it.
    pub fn inputs_per_picture(&self) -> usize {
        match self {
            Self::TextualInversion | Self::DreamboothLora { .. } => 1,
            Self::CustomDiffusion { .. } => 2,
        }
    }

    pub(super) fn new(o: &TrainOptions) -> Result<Self, ConfigError> {
        Ok(match set("method", o.method.method) {
            Method::TextualInversion => Self::TextualInversion,
            Method::DreamboothLora => Self::DreamboothLora {
                rank: within("lora_rank", o.method.lora_rank, 1..=1024, "from 1 to 1024")?,
                scale: positive("lora_scale", o.method.lora_scale)?,
            },
            Method::CustomDiffusion => Self::CustomDiffusion {
                class_prompt: class_prompt(o)?,
                class_data_dir: o.method.class_data_dir.clone(),
                num_class_images: count("num_class_images", o.method.num_class_images)?,
                prior_loss_weight: not_negative("prior_loss_weight", o.method.prior_loss_weight)?,
            },
        })
    }
}

/// What the concept is one of; without a word, the class' pictures would show anything.
fn class_prompt(o: &TrainOptions) -> Result<String, ConfigError> {
    let expected = "a word for what the concept is one of, such as `cat`, for custom-diffusion";
    let prompt = required("class_prompt", o.method.class_prompt.clone(), expected)?;
    if prompt.trim().is_empty() {
        return Err(out_of_range("class_prompt", format!("`{prompt}`"), expected));
    }
    Ok(prompt)
}
