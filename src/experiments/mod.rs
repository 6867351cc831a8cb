//! The arithmetic and the figures of the paper's experiments. It trains nothing and reads no file.

mod figure;
mod statistics;
mod table;

pub use figure::{LossPanel, Measure, dot_and_range_svg, loss_panels_svg};
pub use statistics::{Spread, r_squared};
#[cfg(feature = "cli")]
pub(crate) use table::csv_line;
pub use table::{Cell, Failure, Row, Table};
