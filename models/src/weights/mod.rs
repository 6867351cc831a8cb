//! From a model's files to its networks.
//!
//! Everything is checked before anything runs: each expected tensor must be there with its
//! shape, and no other may be (known buffers aside).

mod files;
#[cfg(feature = "hub")]
mod hub;
mod key_map;
mod load;
mod pickled;
mod random;
mod replace;
mod safetensors;
mod source;
pub mod torch;

pub use files::ModelFiles;
pub use load::{load, load_files, shapes};
pub use replace::with_replaced;
pub use source::FileSource;
