//! The thing that is learned: a few vectors in the text encoder's embedding space and the token
//! that stands for them in a prompt.

mod error;
mod format;
pub mod init;
mod learned;

pub(crate) use error::TAKE_ITS_MODEL;
pub use error::{EmbeddingError, FileProblem};
pub(crate) use format::{BUNDLE, is_numbered};
pub use format::{EmbeddingFormat, FILE_NAME, Written, read, read_from, write};
pub use learned::{EncoderVectors, LearnedEmbedding};
