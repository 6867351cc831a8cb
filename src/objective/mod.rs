//! The training objective: what a step draws, the batch made of it, and its loss.

mod diffusion;
mod draws;
mod latents;
mod rescaling;
mod share;

pub use diffusion::{Batch, DiffusionObjective, Inputs, PriorPreservation, RescaledPictures};
pub use draws::{DrawRanges, DrawSource, Draws, SeededDraws};
pub use latents::LatentCache;
pub use rescaling::{CAPTION_PREFIXES, Rescale};
pub use share::Share;
