//! Options with a few named values.

use std::fmt;

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

/// What ends a run, by the names of the paper's table 1 (arXiv 2302.04841v1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Stopping {
    /// The variance of the deterministic objective.
    Dvar,
    /// What the last window brought of the deterministic objective's whole fall.
    Plateau,
    /// A CLIP-I score of samples that no longer rises.
    ClipS,
    /// The number of steps alone, without samples on the way.
    FewIters,
    /// The number of steps; of the checkpoints that were scored, the best is kept.
    Baseline,
}

impl Stopping {
    /// Whether the deterministic objective decides.
    pub fn evaluates(self) -> bool {
        matches!(self, Self::Dvar | Self::Plateau)
    }

    /// Whether samples are scored on the way.
    pub fn scores(self) -> bool {
        matches!(self, Self::ClipS | Self::Baseline)
    }

    /// Steps between two scored samples where `sample_frequency` is open; 0 draws none.
    pub(super) fn default_sample_frequency(self) -> usize {
        match self {
            Self::ClipS => 50,
            Self::Baseline => 500,
            Self::Dvar | Self::Plateau | Self::FewIters => 0,
        }
    }
}

/// Where the vectors start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum InitStrategy {
    /// At a known word, `initializer_token`.
    Token,
    /// At the tokens of a text, `initializer_text`.
    Text,
    /// At a learned embedding, `initializer_file`.
    File,
    /// At a token of the vocabulary drawn from the seed.
    Random,
    /// At the token that CLIP finds nearest to the pictures.
    Best,
    /// At the token that CLIP finds farthest from them.
    Worst,
    /// At the word from which the deterministic loss is lowest before any training.
    LowestLoss,
}

/// What the frozen networks compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum MixedPrecision {
    /// f32.
    No,
    /// f16, where the device can.
    Fp16,
    /// bf16, where the device can.
    Bf16,
}

impl MixedPrecision {
    /// The type of the text encoder's and the denoiser's weights and activations.
    pub fn dtype(self) -> DType {
        match self {
            Self::No => DType::F32,
            Self::Fp16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl fmt::Display for MixedPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
        })
    }
}

/// Of several text encoders, those whose vectors are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum TextEncoders {
    /// The first: SDXL's `clip_l`.
    #[serde(rename = "1")]
    #[cfg_attr(feature = "cli", value(name = "1"))]
    First,
    /// The second: SDXL's `clip_g`.
    #[serde(rename = "2")]
    #[cfg_attr(feature = "cli", value(name = "2"))]
    Second,
    /// All that there are.
    Both,
}

impl TextEncoders {
    /// The only one, counted from 0; none if all are meant.
    pub fn only(self) -> Option<usize> {
        match self {
            Self::First => Some(0),
            Self::Second => Some(1),
            Self::Both => None,
        }
    }
}

/// A program that a run also logs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Logger {
    /// None: `metrics.jsonl` alone.
    None,
    /// TensorBoard, by event files.
    Tensorboard,
    /// W&B, by an offline run for `wandb sync`.
    Wandb,
}
