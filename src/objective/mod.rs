//! The training objective: what a step draws, the batch made of it, and its loss.

mod diffusion;
mod draws;

pub use diffusion::{Batch, DiffusionObjective};
pub use draws::{DrawSource, Draws, SeededDraws};
