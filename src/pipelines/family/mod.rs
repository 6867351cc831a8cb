//! The families of models: a file for each, and their list.

mod definition;
mod ldm;
mod registry;
mod stable_diffusion;
mod stable_diffusion_xl;

pub use definition::{CheckedConfig, ModelFamily, TextEncoderPart};
pub use ldm::LATENT_DIFFUSION;
pub use stable_diffusion::STABLE_DIFFUSION;
pub use stable_diffusion_xl::STABLE_DIFFUSION_XL;
