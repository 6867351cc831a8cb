//! DINO (Caron et al. 2021): a vision transformer whose class token tells one thing from another
//! of its kind better than CLIP's, as DreamBooth (Ruiz et al. 2022, section 4.1) measures likeness.

mod config;
mod model;

pub use config::ViTConfig;
pub use model::ViTModel;
