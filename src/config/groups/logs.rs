//! Logs for other programs.

use serde::{Deserialize, Serialize};

use crate::config::Logger;

/// Logs for other programs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct LogOptions {
    /// Also log for another program: `none`, `tensorboard` or `wandb`
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub logger: Option<Logger>,
    /// W&B project
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub project_name: Option<String>,
    /// W&B name of this run [default: the output folder's name]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub exp_name: Option<String>,
    /// W&B user or team [default: whoever runs `wandb sync`]
    #[cfg_attr(feature = "cli", arg(long, value_name = "ENTITY"))]
    pub wandb: Option<String>,
}
