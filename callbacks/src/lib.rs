//! Stops a training when its loss on a fixed batch lies still: DVAR ([arXiv
//! 2302.04841](https://arxiv.org/abs/2302.04841)), for any loop and for burn's `Learner`.
//!
//! [`early_stopping`] is the criterion: a number in, a decision out. It needs nothing but `alloc`:
//!
//! ```
//! use dvar_callbacks::early_stopping::{Control, Dvar};
//!
//! let mut dvar = Dvar::new(50, 0.1)?;
//! for step in 0..1000 {
//!     let loss_on_a_fixed_batch = f64::exp(-f64::from(step) / 20.0);
//!     if let Control::Stop(reason) = dvar.update(loss_on_a_fixed_batch)? {
//!         println!("{reason}");
//!         break;
//!     }
//! }
//! # assert!(dvar.history_len() < 1000);
//! # Ok::<(), dvar_callbacks::early_stopping::CriterionError>(())
//! ```
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what |
//! |---|---|
//! | `serde` | criteria can be saved and restored |
//! | `burn` | callbacks that evaluate, score and stop a model on burn, in any loop: `callback_runner` |
//! | `learner` | the same callbacks in burn's own `Learner`: see the module `learner` |
//!
//! [stop-any-training.md](https://github.com/dvar-rs/dvar/blob/main/docs/stop-any-training.md) says how to
//! choose window and threshold, and what DVAR cannot see.
//!
//! # Versions
//!
//! With the feature `burn`, types of burn and of `serde_json` 1 are part of this crate's interface: 0.2 works with
//! burn 0.22, from 0.22.1 on, and another minor version of burn needs another one of this crate. No backend of burn's
//! comes with it; your program chooses one by burn's features.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]
#![cfg_attr(not(any(feature = "burn", test)), no_std)]
#![cfg_attr(test, allow(clippy::disallowed_methods))] // tests run natively

extern crate alloc;

#[cfg(feature = "burn")]
mod callback;
#[cfg(feature = "burn")]
pub mod callback_runner;
#[cfg(feature = "burn")]
mod deterministic_eval;
#[cfg(feature = "burn")]
mod device_error;
pub mod early_stopping;
#[cfg(feature = "burn")]
mod error;
#[cfg(feature = "burn")]
mod factors;
#[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
pub mod files;
#[cfg(feature = "burn")]
#[doc(hidden)] // shared with the package `dvar`
pub mod fingerprint;
#[cfg(feature = "burn")]
mod interrupt;
#[cfg(feature = "learner")]
pub mod learner;
#[cfg(feature = "burn")]
pub mod rng;
#[cfg(feature = "burn")]
mod score_monitor;
#[cfg(feature = "burn")]
mod watch;

#[cfg(feature = "burn")]
pub use {
    callback::{Callback, LocalBoxFuture, Record, RunState, StepContext},
    deterministic_eval::{DeterministicEval, Evaluation, OnBatch},
    device_error::DeviceError,
    error::{Quantity, TrainError},
    factors::{FactorStreams, Factors},
    interrupt::Interrupt,
    score_monitor::{ScoreMonitor, Scores},
};

/// Runs the README's Rust code as a test.
#[cfg(all(doctest, feature = "learner"))]
#[doc = include_str!("../README.md")]
struct Readme;
