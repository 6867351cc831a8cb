//! The methods of the paper's second version (arXiv 2302.04841v3).

use serde::{Deserialize, Serialize};

/// What a run trains, and on which pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Method {
    /// The concept's vectors alone (Gal et al. 2022).
    #[default]
    #[serde(alias = "inversion")]
    #[cfg_attr(feature = "cli", value(alias = "inversion"))]
    TextualInversion,
    /// The vectors, and low-rank additions to the UNet's attentions (Ruiz et al. 2023; Hu et al.
    /// 2022).
    #[serde(alias = "dreambooth")]
    #[cfg_attr(feature = "cli", value(alias = "dreambooth"))]
    DreamboothLora,
    /// The vectors, and the keys and values of the UNet's attention to the text, with pictures of
    /// the concept's class beside the concept's own (Kumari et al. 2023).
    #[serde(alias = "custom")]
    #[cfg_attr(feature = "cli", value(alias = "custom"))]
    CustomDiffusion,
}
