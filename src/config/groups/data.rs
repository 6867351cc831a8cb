//! The model, the pictures of the concept and where a run is written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
use super::{Switch, seeds};
use crate::{
    data::{dataset::Pairing, reading::CropMode, templates::LearnableProperty},
    embedding::EmbeddingFormat,
};

/// Model, pictures and output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct DataOptions {
    /// Folder of the model in diffusers' layout, a single file of Stable Diffusion 1.x, 2.x or XL, a
    /// name on the Hub, `sd`, `ldm` or `embedded` [default: embedded]
    #[cfg_attr(feature = "cli", arg(long, short, value_name = "PATH"))]
    pub model: Option<PathBuf>,
    /// Take the averaged (EMA) weights of a single file's denoiser instead of the last ones
    /// [default: false]
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub ema: Option<bool>,
    /// Folder with the 3-6 pictures of the concept
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub train_data_dir: Option<PathBuf>,
    /// New word that will stand for the concept, such as `<my-cat>`
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOKEN"))]
    pub placeholder_token: Option<String>,
    /// What the pictures share: `object` or `style`
    #[cfg_attr(feature = "cli", arg(long, value_name = "KIND"))]
    pub learnable_property: Option<LearnableProperty>,
    /// Folder to write to, which must be empty if it exists [default: runs/TOKEN, or runs/TOKEN-2 and
    /// so on]
    #[cfg_attr(feature = "cli", arg(long, short, value_name = "DIR"))]
    pub output_dir: Option<PathBuf>,
    /// Seed of every random draw
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", value_parser = seeds()))]
    pub seed: Option<u64>,
    /// Height and width of the training pictures [default: the model's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "PIXELS"))]
    pub resolution: Option<usize>,
    /// What to do with a picture that is not square: `center` cuts a square out of its middle,
    /// `squash` distorts it to a square, `none` keeps its proportions at about the area of a square
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    pub crop: Option<CropMode>,
    /// How pictures are paired with caption templates: `all-pairs`, or `official` as in the
    /// official code
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    pub pairing: Option<Pairing>,
    /// Also write the embedding as these tools read it, into `embeddings/TOOL`; several with commas
    /// between
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOOL", value_delimiter = ','))]
    pub embedding_format: Option<Vec<EmbeddingFormat>>,
}

impl DataOptions {
    /// Those that a page has: no files.
    pub(in crate::config) fn on_page(self) -> Self {
        Self {
            model: None,
            ema: None,
            train_data_dir: None,
            output_dir: None,
            embedding_format: None,
            ..self
        }
    }
}
