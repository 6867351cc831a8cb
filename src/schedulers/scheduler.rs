//! What every sampler does.

use burn::tensor::Tensor;

/// One sampling run over a fixed list of timesteps.
///
/// For each `index` of [`timesteps`](Self::timesteps), in order: scale the latents, ask the model
/// for its output at that timestep, and [`step`](Self::step). Index 0 starts a new run, so one
/// scheduler can sample many times.
pub trait Scheduler: std::fmt::Debug {
    /// The training timesteps at which the model is called, in the order of the calls.
    ///
    /// A multistep start may call the model twice at one timestep; `euler`, `euler-a` and `lms`
    /// may give fractional ones.
    fn timesteps(&self) -> &[f64];

    /// The standard deviation of the latents at the start: standard normal noise times this.
    fn init_noise_sigma(&self) -> f64 {
        1.0
    }

    /// What the model is to see of `sample` at call `index`.
    ///
    /// # Shapes
    /// - sample, output: `[batch_size, channels, height, width]`
    ///
    /// # Panics
    /// When `index` is not below the number of timesteps.
    fn scale_model_input(&self, sample: Tensor<4>, _index: usize) -> Tensor<4> {
        sample
    }

    /// Whether [`step`](Self::step) at `index` adds fresh standard normal noise.
    fn needs_variance_noise(&self, _index: usize) -> bool {
        false
    }

    /// The latents after call `index`, from the latents before it (unscaled) and the model's
    /// output for them.
    ///
    /// `variance_noise` is standard normal noise, read only where
    /// [`needs_variance_noise`](Self::needs_variance_noise) says so.
    ///
    /// # Shapes
    /// - all: `[batch_size, channels, height, width]`
    ///
    /// # Panics
    /// When `index` is not below the number of timesteps, or noise is needed and missing.
    fn step(
        &mut self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
        variance_noise: Option<Tensor<4>>,
    ) -> Tensor<4>;
}

/// The predicted clean latents, cut to `range` on both sides of 0 where there is one.
pub(super) fn clipped(original: Tensor<4>, range: Option<f64>) -> Tensor<4> {
    match range {
        Some(range) => original.clamp(-range, range),
        None => original,
    }
}

/// Adds `standard_deviation * variance_noise`; the noise is not looked at when the factor is 0.
pub(super) fn add_variance(
    mean: Tensor<4>,
    standard_deviation: f64,
    variance_noise: Option<Tensor<4>>,
) -> Tensor<4> {
    if standard_deviation == 0.0 {
        return mean;
    }
    let Some(noise) = variance_noise else {
        panic!("this step needs variance noise: ask `needs_variance_noise` before the call");
    };
    mean + noise * standard_deviation
}
