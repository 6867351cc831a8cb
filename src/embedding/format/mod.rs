//! Learned embeddings in files.
//!
//! Read: safetensors and PyTorch files (zip, and the older bare pickles) of diffusers
//! (`{token: tensor}`), AUTOMATIC1111 (`string_to_param`, also inside a picture), kohya
//! (`emb_params`), OneTrainer (`emp_params`, and `bundle_emb.*` inside a LoRA) and all that train for
//! SDXL (`clip_l`, `clip_g`). Written: the form of each of these.

mod contents;
mod names;
mod peer;
mod picture;
mod read;
mod safetensors;
mod torch;
mod torch_zip;

pub(crate) use names::{BUNDLE, is_numbered};
pub use peer::{EmbeddingFormat, Written};
pub use read::{read, read_from};
pub use safetensors::{FILE_NAME, write};
