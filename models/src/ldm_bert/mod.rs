//! The text encoder of CompVis' LDM text-to-image model: a BERT-like transformer that was trained
//! together with the denoiser (diffusers `LDMBertModel`; Rombach et al. 2022, section 4.3.1).

mod config;
mod model;

pub use config::LdmBertConfig;
pub use model::LdmBertModel;
