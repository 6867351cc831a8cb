//! The learning rate and the optimisers' settings.

use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
use super::Switch;
use crate::optim::{LrPieces, LrShape};

/// The learning rate and the optimisers' settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct OptimizerOptions {
    /// Learning rate; for dreambooth-lora the default is 0.0005, for custom-diffusion 0.00001
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATE"))]
    pub learning_rate: Option<f64>,
    /// Multiply the learning rate by batch size and accumulation steps
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub scale_lr: Option<bool>,
    /// Learning-rate schedule: constant, constant_with_warmup, linear, cosine, cosine_with_restarts
    /// or polynomial
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub lr_scheduler: Option<LrShape>,
    /// Warm-up: updates over which the learning rate rises, in schedules that have one
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub lr_warmup_steps: Option<usize>,
    /// Cycles of `cosine_with_restarts`
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub lr_num_cycles: Option<usize>,
    /// Power of `polynomial`
    #[cfg_attr(feature = "cli", arg(long, value_name = "POWER"))]
    pub lr_power: Option<f64>,
    /// Learning rates, each with the step up to which it holds, such as `0.005:100, 1e-3:1000,
    /// 1e-5`; in place of `--learning-rate` and `--lr-scheduler`
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATES"))]
    pub lr_schedule: Option<LrPieces>,
    /// AdamW's beta1, the decay rate of the gradient's running mean
    #[cfg_attr(feature = "cli", arg(long, value_name = "VALUE"))]
    pub adam_beta1: Option<f64>,
    /// AdamW's beta2, the decay rate of the squared gradient's running mean
    #[cfg_attr(feature = "cli", arg(long, value_name = "VALUE"))]
    pub adam_beta2: Option<f64>,
    /// AdamW's epsilon, which is added to the denominator
    #[cfg_attr(feature = "cli", arg(long, value_name = "VALUE"))]
    pub adam_epsilon: Option<f64>,
    /// AdamW's weight decay
    #[cfg_attr(feature = "cli", arg(long, value_name = "VALUE"))]
    pub adam_weight_decay: Option<f64>,
    /// Scale SAM's ascent step by the parameters (adaptive SAM)
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub sam_adaptive: Option<bool>,
    /// SAM's rho, the length of its ascent step
    #[cfg_attr(feature = "cli", arg(long, value_name = "LENGTH"))]
    pub sam_rho: Option<f64>,
    /// Momentum of the SGD inside SAM
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
    pub sam_momentum: Option<f64>,
}

impl OptimizerOptions {
    /// These as they lie under others: rates step by step and one rate with its schedule take each other's
    /// place.
    pub(in crate::config) fn under(&self, others: &Self) -> Self {
        let mut left = self.clone();
        if others.lr_schedule.is_some() {
            left.lr_scheduler = None;
        } else if others.learning_rate.is_some() || others.lr_scheduler.is_some() {
            left.lr_schedule = None;
        }
        left
    }
}
