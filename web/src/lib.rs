//! The trainer for a browser tab: what `dvar train` and `dvar generate` do, for a page's worker.
//!
//! The page gives pictures and options and is told of each step; it keeps the files. Nothing of the
//! training is written again here. Every call may be awaited for minutes, so that it belongs in a
//! worker; whatever a visitor can get wrong comes back as an `Error` of one sentence, whose `name`
//! says whose fault it is (see `error.rs`).

mod device;
mod error;
mod fall;
mod generate;
mod held;
mod helpers;
mod host;
mod learned;
mod options;
mod panic;
mod part;
mod pictures;
mod prompts;
mod replica;
mod shared;
mod single_file;
mod source;
mod studio;
mod train;

pub use fall::fall;
pub use panic::on_panic;
pub use replica::Replica;
pub use studio::Studio;

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.ts");
