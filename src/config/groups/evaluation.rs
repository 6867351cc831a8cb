//! The deterministic evaluation, which DVAR looks at.

use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
use super::Switch;
use crate::eval::EvaluationSwitches;

/// The deterministic evaluation, which DVAR looks at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct EvaluationOptions {
    /// Updates between two deterministic evaluations
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub eval_interval: Option<usize>,
    /// Inputs of the deterministic evaluation
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub eval_batch_size: Option<usize>,
    /// Which factors of the evaluation are fixed (1) or redrawn (0): images, latents, noise,
    /// captions, timesteps
    #[cfg_attr(feature = "cli", arg(long, value_name = "CODE"))]
    pub exp_code: Option<EvaluationSwitches>,
    /// Evaluate at the mean of the autoencoder's posterior instead of a sample from it
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub mean_latent: Option<bool>,
    /// Evaluate without diffusion noise
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub mean_noise: Option<bool>,
    /// Also record the evaluation of each third of the time steps
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub triple: Option<bool>,
    /// Rounds of each deterministic evaluation, each round with time steps of its own
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub eval_gradient_accumulation_steps: Option<usize>,
    /// Also record the loss of each input of the evaluation [default: false]
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub each_input: Option<bool>,
}
