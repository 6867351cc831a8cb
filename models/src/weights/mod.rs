//! From a model's files to its networks.
//!
//! Everything is checked before anything runs: each expected tensor must be there with its
//! shape, and no other may be (known buffers aside).

mod change;
mod content;
mod failure;
mod folder;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod hub_environment;
mod hub_files;
mod key_map;
mod layout;
mod load;
mod memory;
mod pickled;
mod pieces;
mod precision;
mod random;
mod replace;
mod safetensors;
mod source;
mod tensors;
pub mod torch;

pub use change::{ChangeWeight, change_weights};
pub use content::other_content;
pub use folder::Folder;
pub use hub_files::{HubFiles, NETWORKS};
pub use key_map::{KeyMap, Network};
pub use layout::weight_files;
pub use load::load;
pub use memory::{Memory, RandomWeights};
pub use pieces::{FileSource, Pieces};
pub use replace::with_replaced;
pub use safetensors::header as safetensors_header;
pub use source::{ModelSource, Weights};
pub use tensors::Tensors;
