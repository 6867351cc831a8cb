//! The trainer for a browser tab. For now it only holds the library to what compiles to wasm32;
//! the page is yet to be built.

pub use dvar;
