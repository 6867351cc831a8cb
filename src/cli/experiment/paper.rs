//! The paper's experiments and their built-in grids.

/// The paper's experiments (arXiv 2302.04841).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Experiment {
    /// Criteria: baseline, CLIP-s, few iterations, DVAR, plateau
    Table1,
    /// Initialisation: best, manual, lowest loss, random
    Table2,
    /// Optimisers: AdamW, SAM
    Table3,
    /// Which factors of the evaluation may be redrawn
    SemiDeterministic,
    /// Textual Inversion, DreamBooth-LoRA and Custom Diffusion, each by baseline, DVAR
    /// and plateau
    Methods,
    /// Runs without a stop, recorded whole: presets and stopping criteria are judged by them
    Curves,
}

impl Experiment {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Table1 => "table1",
            Self::Table2 => "table2",
            Self::Table3 => "table3",
            Self::SemiDeterministic => "semi-deterministic",
            Self::Methods => "methods",
            Self::Curves => "curves",
        }
    }

    /// The grid in this program.
    pub(super) fn grid(self) -> &'static str {
        match self {
            Self::Table1 => include_str!("grids/table1.toml"),
            Self::Table2 => include_str!("grids/table2.toml"),
            Self::Table3 => include_str!("grids/table3.toml"),
            Self::SemiDeterministic => {
                include_str!("grids/semi-deterministic.toml")
            }
            Self::Methods => include_str!("grids/methods.toml"),
            Self::Curves => include_str!("grids/curves.toml"),
        }
    }
}
