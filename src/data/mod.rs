//! From picture files to the numbers the networks read.
//!
//! All of it is plain Rust on the host: no tensor library, no random draws, and no files but in what
//! reads folders, so that the same code runs in a browser.

pub mod clip_pixels;
pub mod dataset;
pub mod decode;
pub mod error;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
pub(crate) mod framing;
pub mod image;
pub mod png;
pub mod reading;
pub mod resize;
pub mod templates;

pub use error::DataError;
#[cfg(not(target_arch = "wasm32"))]
pub use folder::{captioned, left_out, picture_files, read_files, uncounted};
