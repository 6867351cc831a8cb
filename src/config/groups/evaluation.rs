//! The deterministic evaluation, which DVAR looks at.

use serde::{Deserialize, Serialize};

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
    /// Evaluate the posterior's mean in place of a sample
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
            default_missing_value = "true")
    )]
    pub mean_latent: Option<bool>,
    /// Evaluate without diffusion noise
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
            default_missing_value = "true")
    )]
    pub mean_noise: Option<bool>,
    /// Record the evaluation of each third of the time steps too
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
            default_missing_value = "true")
    )]
    pub triple: Option<bool>,
    /// Rounds of the deterministic evaluation, each with its own time steps
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub eval_gradient_accumulation_steps: Option<usize>,
    /// Record the evaluation of each input too [default: false]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
            default_missing_value = "true")
    )]
    pub each_input: Option<bool>,
}
