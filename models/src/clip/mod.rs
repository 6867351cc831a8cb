//! CLIP (Radford et al. 2021): the text encoders of Stable Diffusion 1.x, 2.x and XL, and both towers
//! with their projections for scoring pictures.

mod config;
mod encoder;
mod model;
mod text;
mod vision;

pub use config::{ClipConfig, ClipTextConfig, ClipVisionConfig};
pub use model::ClipModel;
pub use text::{ClipTextModel, ClipTextModelWithProjection, ClipTextTransformer};
pub use vision::ClipVisionTransformer;
