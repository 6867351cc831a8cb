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
    /// Number of the last deterministic losses that decide: dvar compares them with all losses,
    /// plateau with as many before them
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub window: Option<usize>,
    /// Stop when the ratio is below this; 0 never stops. For dvar it is the variance in the window
    /// over that of all losses. For plateau it is the share of the loss' whole fall that the window
    /// brought, and the default is 0.05
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATIO"))]
    pub threshold: Option<f64>,
    /// CLIP-s: a score must exceed the best one by this to count
    #[cfg_attr(feature = "cli", arg(long, value_name = "GAIN"))]
    pub min_delta: Option<f64>,
    /// CLIP-s: how many scores in a row may lack such a gain
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub patience: Option<usize>,
    /// Updates between two scored sample grids; 0 draws none during training [default: 50 for
    /// clip-s, 500 for baseline, else 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub sample_frequency: Option<usize>,
}

impl StoppingOptions {
    /// These as they lie under others: the plateau's threshold is of another ratio than DVAR's, and where
    /// those name the other criterion, this one's is left out.
    pub(in crate::config) fn under(&self, others: &Self) -> Self {
        let plateau = |options: &Self| options.stopping.map(|how| how == Stopping::Plateau);
        let other = plateau(self).zip(plateau(others)).is_some_and(|(own, theirs)| own != theirs);
        Self { threshold: self.threshold.filter(|_| !other), ..self.clone() }
    }
}
