//! Steps, batches, optimiser, precision and checkpoints.

use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
use super::Switch;
use crate::{
    config::{MixedPrecision, OptimizerKind},
    schedulers::{BetaSchedule, PredictionType},
};

/// Steps, batches, optimiser, precision and checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct TrainingOptions {
    /// Maximum number of updates (training steps)
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub max_train_steps: Option<usize>,
    /// Number of updates before which no criterion stops the run [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub min_train_steps: Option<usize>,
    /// Batch size: inputs of one forward pass
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub train_batch_size: Option<usize>,
    /// Forward passes whose gradients are averaged for one update
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub gradient_accumulation_steps: Option<usize>,
    /// Clip the gradient to this norm [default: 1 for custom-diffusion, else none]
    #[cfg_attr(feature = "cli", arg(long, value_name = "LENGTH"))]
    pub max_grad_norm: Option<f64>,
    /// Optimiser: adamw or sam
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub optimizer: Option<OptimizerKind>,
    /// What the text encoder and the denoiser compute in: no (f32), fp16 or bf16
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE"))]
    pub mixed_precision: Option<MixedPrecision>,
    /// Compute the denoiser's activations again in the backward pass: much less memory, more time
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub gradient_checkpointing: Option<bool>,
    /// Round the factors of f32 products to TF32 where an NVIDIA GPU has it: faster, less exact
    /// [default: false]
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub tf32: Option<bool>,
    /// Updates between two checkpoints; where they take longer, one comes every ten minutes
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub save_steps: Option<usize>,
    /// Noise schedule of training: linear, scaled_linear or squaredcos_cap_v2
    /// [default: the model's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub beta_schedule: Option<BetaSchedule>,
    /// What the denoiser predicts: epsilon or v_prediction [default: the model's]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub prediction_type: Option<PredictionType>,
    /// Lowest time step of the noise schedule in training and evaluation [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "STEP"))]
    pub min_timestep: Option<usize>,
    /// Training and evaluation take time steps below this one [default: the schedule's length]
    #[cfg_attr(feature = "cli", arg(long, value_name = "STEP"))]
    pub max_timestep: Option<usize>,
    /// Probability that a picture is mirrored [default: 0.5]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
    pub flip: Option<f64>,
    /// Keep the norm that each vector starts with: training only changes its direction
    /// [default: false]
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub preserve_embedding_norm: Option<bool>,
}
