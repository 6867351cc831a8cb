//! Model folders, prompts with learned tokens, and text to pictures.

mod family;
mod model_folder;
mod prompt;
mod text_encoder;
mod text_to_image;

pub use family::ModelFamily;
pub(crate) use model_folder::read_tokenizer;
pub use model_folder::{ModelFolder, PipelineError};
pub use prompt::{PromptEncoder, Prompts};
pub use text_encoder::TextEncoder;
pub(crate) use text_to_image::BATCH;
pub use text_to_image::{Guidance, SamplingOptions, TextToImage, Watch, denoise};
