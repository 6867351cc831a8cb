//! The pictures that a run draws, and what scores them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
use super::{Switch, seeds};
use crate::schedulers::SchedulerKind;

/// The pictures that a run draws, and what scores them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct SampleOptions {
    /// Prompt of the sample grids, in which `{}` stands for the concept; may be repeated
    #[cfg_attr(feature = "cli", arg(long, value_name = "PROMPT"))]
    pub validation_prompt: Option<Vec<String>>,
    /// Pictures of each validation prompt [default: as many as fill the grid]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub n_images_per_val_prompt: Option<usize>,
    /// Pictures in a sample grid, but at least one of each validation prompt; unless their number for
    /// each is given
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub num_samples: Option<usize>,
    /// Also draw a sample grid without guidance
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub log_unscaled: Option<bool>,
    /// Folder of the CLIP model that scores, or its name on the Hub [default: the model's `clip/`]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub clip: Option<PathBuf>,
    /// Sampler of the sample grids.
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "NAME", help = format!(
            "Sampler of the sample grids: {} [default: the model's]",
            SchedulerKind::names_in_words()
        ))
    )]
    pub scheduler: Option<SchedulerKind>,
    /// Denoising steps of the sample grids
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub num_inference_steps: Option<usize>,
    /// Guidance of the sample grids
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCALE"))]
    pub guidance_scale: Option<f64>,
    /// Seed of the sample grids
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", value_parser = seeds()))]
    pub sampling_seed: Option<u64>,
    /// Share of fresh noise in each DDIM step of the sample grids
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
    pub eta: Option<f64>,
    /// Also score the samples that are drawn during training by CLIP-T [default: false]
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub clip_t: Option<bool>,
}

impl SampleOptions {
    /// These as they lie under others: where those say how many pictures a grid has, these do not say how many
    /// each prompt has.
    pub(in crate::config) fn under(&self, others: &Self) -> Self {
        let each = self.n_images_per_val_prompt.filter(|_| others.num_samples.is_none());
        Self { n_images_per_val_prompt: each, ..self.clone() }
    }

    /// Those that a page has: no files.
    pub(in crate::config) fn on_page(self) -> Self {
        Self { clip: None, log_unscaled: None, ..self }
    }
}
