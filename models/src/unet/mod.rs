//! The denoiser of Stable Diffusion 1.x, 2.x and XL and of CompVis' LDM (diffusers
//! `UNet2DConditionModel`; Rombach et al. 2022, sections 3.2 and 3.3; Podell et al. 2023).

mod blocks;
mod conditioning;
mod config;
mod embeddings;
mod flops;
mod given;
mod model;
mod passes;
mod projections;
mod transformer;
mod variants;

pub use conditioning::{AddedConditioning, Conditioning, TimeIds};
pub use config::{UNet2DConditionConfig, UpDownBlock};
pub use flops::Operations;
pub use model::{UNet2DConditionModel, UNetPrefix};
