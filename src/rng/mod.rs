//! Host-side randomness: one stream for each purpose and step; see [`Stream`].

mod purpose;

pub use dvar_callbacks::rng::Stream;
pub use purpose::Purpose;
