//! The autoencoder between pictures and latents (diffusers `AutoencoderKL`; Rombach et al. 2022,
//! section 3.1).

mod autoencoder;
mod blocks;
mod config;

pub use autoencoder::{AutoencoderKl, Moments};
pub use config::AutoencoderKlConfig;
