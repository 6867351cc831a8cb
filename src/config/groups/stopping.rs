//! What ends a run.

use serde::{Deserialize, Serialize};

use crate::config::Stopping;

/// What ends a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct StoppingOptions {
    /// What ends the run: dvar, plateau, clip-s, few-iters or baseline
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    pub stopping: Option<Stopping>,
    /// How many of the last deterministic losses are compared: by DVAR with all, by plateau with
    /// as many before them
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub window: Option<usize>,
    /// Stop under this; 0 never stops. DVAR: the window's variance over that of all losses; plateau:
    /// what the window brought of the whole fall, 0.05 if left open
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATIO"))]
    pub threshold: Option<f64>,
    /// CLIP-s: a score must exceed the best one by this to count
    #[cfg_attr(feature = "cli", arg(long, value_name = "GAIN"))]
    pub min_delta: Option<f64>,
    /// CLIP-s: scores without such a gain that are allowed in a row
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub patience: Option<usize>,
    /// Updates between two scored samples; 0 draws none on the way [default: 50 for clip-s, 500 for
    /// baseline, else 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub sample_frequency: Option<usize>,
}
