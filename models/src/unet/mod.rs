//! The denoiser of Stable Diffusion 1.x and of CompVis' LDM (diffusers `UNet2DConditionModel`;
//! Rombach et al. 2022, sections 3.2 and 3.3).

mod blocks;
mod conditioning;
mod config;
mod embeddings;
mod flops;
mod model;
mod projections;
mod transformer;

pub use config::{UNet2DConditionConfig, UpDownBlock};
pub use flops::Operations;
pub use model::{UNet2DConditionModel, UNetPrefix};
