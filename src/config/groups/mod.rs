//! The options of a run by what they are about, a file for each group.
//!
//! A field is a flag of `dvar train`, a key of `config.toml` and a row of `docs/options.md`, of the
//! same name; its comment is its help. What it takes if left open is in `defaults.toml`; a default
//! that depends on something else is told in the comment.

mod data;
mod evaluation;
mod logs;
mod method;
mod optimizer;
mod pictures;
mod samples;
mod start;
mod stopping;
mod training;

pub use data::DataOptions;
pub use evaluation::EvaluationOptions;
pub use logs::LogOptions;
pub use method::MethodOptions;
pub use optimizer::OptimizerOptions;
pub use pictures::PictureOptions;
pub use samples::SampleOptions;
pub use start::StartOptions;
pub use stopping::StoppingOptions;
pub use training::TrainingOptions;

/// Seeds that a TOML file can hold.
#[cfg(feature = "cli")]
fn seeds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(..=i64::MAX as u64)
}

/// An option that is true where it stands alone; only behind a `=` can it have a value.
#[cfg(feature = "cli")]
trait Switch {
    fn switch(self) -> Self;
}

#[cfg(feature = "cli")]
impl Switch for clap::Arg {
    fn switch(self) -> Self {
        let arg = self.value_name("BOOL").num_args(0..=1);
        arg.require_equals(true).default_missing_value("true")
    }
}
