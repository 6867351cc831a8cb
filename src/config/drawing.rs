//! What options say of pictures that no run draws.

use super::{ConfigError, TrainOptions, range::set};
use crate::schedulers::SchedulerKind;

/// How to draw pictures where the user does not say it: a model's advice over the defaults. Not
/// checked yet; [`check_sampling`](crate::session::check_sampling) does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawingAdvice {
    /// The sampler; the model's own if open.
    pub scheduler: Option<SchedulerKind>,
    /// Denoising steps.
    pub num_inference_steps: usize,
    /// How strongly the prompt is followed.
    pub guidance_scale: f64,
}

impl DrawingAdvice {
    /// The advice in a model's options.
    ///
    /// # Errors
    ///
    /// As of [`TrainOptions::over`].
    pub fn new(options: &TrainOptions) -> Result<Self, ConfigError> {
        let samples = options.with_defaults()?.samples;
        Ok(Self {
            scheduler: samples.scheduler,
            num_inference_steps: set("num_inference_steps", samples.num_inference_steps),
            guidance_scale: set("guidance_scale", samples.guidance_scale),
        })
    }
}
