//! What the fuzzer runs: the readers, and a limit to the memory they may take.

pub mod memory;
mod readers;

pub use readers::*;
