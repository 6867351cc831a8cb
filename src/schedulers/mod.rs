//! Diffusion schedulers: the noise of training and the steps of sampling.
//!
//! [`SchedulerConfig`] reads diffusers' `scheduler_config.json`; its [`NoiseSchedule`] makes the
//! noisy latents of training, and [`SchedulerConfig::build`] makes the [`Scheduler`] that turns
//! noise into a picture's latents. The numbers are those of diffusers 0.35: coefficients are
//! computed on the host, tensors are only scaled and added, so every backend runs the same code.
//!
//! A sampler is a file in `samplers/` with a [`SchedulerSpec`], and an entry in the list of
//! `samplers/mod.rs`: options, messages and the reading of configurations follow from the list.
//! `docs/extending.md` shows one that is added from outside of this crate.

mod beta_schedule;
mod config;
mod error;
mod keys;
mod kind;
mod noise_schedule;
mod prediction;
mod run;
mod samplers;
mod scheduler;
mod spec;
#[cfg(test)]
mod tests;
mod timesteps;

pub use beta_schedule::BetaSchedule;
pub use config::SchedulerConfig;
pub use error::SchedulerError;
pub use kind::SchedulerKind;
pub use noise_schedule::NoiseSchedule;
pub use prediction::PredictionType;
pub use run::SamplingRun;
pub use scheduler::Scheduler;
pub use spec::{Key, SchedulerSpec};
pub use timesteps::TimestepSpacing;
