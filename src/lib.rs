//! dvar teaches a text-to-image model a new concept from a few pictures, and knows when to stop.
#![doc = include_str!("../docs/library.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::disallowed_methods))] // tests run natively

pub mod callbacks;
#[cfg(feature = "cli")]
#[doc(hidden)] // for the program and its tests
pub mod cli;
pub mod concept;
pub mod config;
pub mod data;
pub mod embedding;
pub mod eval;
pub mod objective;
pub mod optim;
pub mod pipelines;
pub mod plot;
pub mod rng;
pub mod schedulers;
pub mod session;
pub mod tensor;
pub mod trainer;

pub use dvar_callbacks::early_stopping;
#[cfg(not(target_arch = "wasm32"))]
pub use dvar_callbacks::files;
pub(crate) use dvar_callbacks::fingerprint;
/// The callbacks in burn's own `Learner`.
#[cfg(feature = "train")]
pub use dvar_callbacks::learner as burn_train;

/// Runs the README's Rust code as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Runs the code of `docs/extending.md` as a test.
#[cfg(all(doctest, feature = "flex"))]
#[doc = include_str!("../docs/extending.md")]
struct Extending;
