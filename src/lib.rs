//! dvar teaches a text-to-image model a new concept from a few pictures, and knows when to stop.
#![doc = include_str!("../docs/library.md")]
#![cfg_attr(test, allow(clippy::disallowed_methods))] // tests run natively

#[cfg(feature = "train")]
pub mod burn_train;
#[cfg(feature = "callbacks")]
pub mod callbacks;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(all(feature = "callbacks", feature = "diffusion"))]
pub mod concept;
#[cfg(all(feature = "callbacks", feature = "diffusion"))]
pub mod config;
#[cfg(feature = "diffusion")]
pub mod data;
#[cfg(any(feature = "callbacks", feature = "diffusion"))]
mod device_failure;
pub mod early_stopping;
#[cfg(feature = "diffusion")]
pub mod embedding;
#[cfg(feature = "diffusion")]
pub mod eval;
pub mod experiments;
#[cfg(not(target_arch = "wasm32"))]
pub mod files;
#[cfg(feature = "callbacks")]
mod fingerprint;
#[cfg(feature = "callbacks")]
mod host_tensor;
#[cfg(all(feature = "callbacks", feature = "diffusion"))]
pub mod objective;
pub mod optim;
#[cfg(feature = "diffusion")]
pub mod pipelines;
pub mod rng;
#[cfg(feature = "diffusion")]
pub mod schedulers;
#[cfg(all(feature = "callbacks", feature = "diffusion"))]
pub mod session;
mod svg;
mod total;
#[cfg(feature = "callbacks")]
pub mod trainer;

/// Runs the README's Rust code as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
