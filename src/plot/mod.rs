//! Figures as SVG files.

mod curve;
pub(crate) mod svg;

pub use curve::{CurvePoint, curve_svg};
