//! What the fuzzer runs: the readers, and limits to the memory and the time they may take.

pub mod limits;
mod readers;

pub use readers::*;
