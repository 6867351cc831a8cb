//! LPIPS (Zhang et al. 2018), version 0.1 with AlexNet: how different two pictures look to people.
//!
//! A folder for it holds two files as they are published: torchvision's backbone
//! (`alexnet-owt-7be5be79`) and the five heads of the PyPI package `lpips`
//! (`lpips/weights/v0.1/alex`).

mod config;
mod load;
mod model;

pub use config::LpipsConfig;
pub use model::{Lpips, LpipsFeatures};
