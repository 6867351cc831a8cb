//! Figures as SVG files.

mod curve;
pub(crate) mod svg;

pub use curve::{CurvePoint, Watched, curve_svg};
