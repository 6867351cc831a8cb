//! Models, prompts with learned tokens, and text to pictures.

mod error;
mod family;
mod model_folder;
mod prompt;
pub mod signs;
pub mod text_encoder;
mod text_to_image;
mod tokens;
mod widths;

pub use dvar_models::unet::{AddedConditioning, Conditioning, TimeIds};
pub use error::PipelineError;
pub use family::{
    CheckedConfig, LATENT_DIFFUSION, ModelFamily, STABLE_DIFFUSION, STABLE_DIFFUSION_XL,
    TextEncoderPart,
};
pub use model_folder::ModelFolder;
pub use prompt::{PromptEncoder, Prompts};
pub(crate) use text_to_image::BATCH;
pub use text_to_image::{DrawProgress, Guidance, SamplingOptions, TextToImage, denoise};
pub use tokens::{CutPrompt, LongPrompts, PromptIds, PromptTokenizers};
pub use widths::EmbeddingWidths;
