//! What the samplers share that walk over sigmas, the ratio of noise to signal.

use burn::tensor::Tensor;

use crate::schedulers::{
    error::SchedulerError, prediction::PredictionType, run::SamplingRun, timesteps::TimestepSpacing,
};

/// The key of a configuration that asks for sigmas which are dense where there is little noise.
pub(super) const KARRAS: &str = "use_karras_sigmas";
/// The keys of the first and the last of these, where they are not those of the timesteps.
pub(super) const KARRAS_ENDS: [&str; 2] = ["sigma_max", "sigma_min"];

/// A run in the variables of <https://arxiv.org/abs/2206.00364>: samples are the clean ones plus
/// `sigma` times noise, so their scale grows with the noise.
#[derive(Debug)]
pub(super) struct SigmaRun {
    /// One per model call.
    pub timesteps: Vec<f64>,
    /// One per timestep and a 0 at the end.
    pub sigmas: Vec<f64>,
    pub init_noise_sigma: f64,
    prediction_type: PredictionType,
}

impl SigmaRun {
    /// `has_karras` says whether the sampler has Karras' sigmas, where the configuration asks for them.
    pub(super) fn new(run: &SamplingRun, has_karras: bool) -> Result<Self, SchedulerError> {
        let schedule = run.noise_schedule();
        let timesteps = run.fractional_timesteps()?;
        let ends = has_karras.then(|| [timesteps[0], timesteps[timesteps.len() - 1]]);
        let (timesteps, sigmas) = with_sigmas(run, timesteps, ends);
        let largest = sigmas[0];
        // The other spacings visit the last timestep, where the samples are taken for pure noise.
        let starts_at_last_timestep = run.timestep_spacing() != TimestepSpacing::Leading;
        let init_noise_sigma =
            if starts_at_last_timestep { largest } else { (largest * largest + 1.0).sqrt() };
        let prediction_type = schedule.prediction_type();
        Ok(Self { timesteps, sigmas, init_noise_sigma, prediction_type })
    }

    pub(super) fn scale_model_input(&self, sample: Tensor<4>, index: usize) -> Tensor<4> {
        sample * alpha_prod(self.sigmas[index]).sqrt()
    }

    /// The slope of the sample over sigma: the noise that the model sees in it.
    pub(super) fn derivative(
        &self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
    ) -> Tensor<4> {
        let scaled = self.scale_model_input(sample, index);
        self.prediction_type.epsilon(scaled, model_output, alpha_prod(self.sigmas[index]))
    }
}

/// The timesteps with their sigmas, and the 0 that the last step goes to. Where there are `ends` and the
/// configuration asks for Karras' sigmas, these run between those of `ends`, or as far as it says, and the
/// timesteps are theirs.
pub(super) fn with_sigmas(
    run: &SamplingRun,
    timesteps: Vec<f64>,
    ends: Option<[f64; 2]>,
) -> (Vec<f64>, Vec<f64>) {
    let schedule = run.noise_schedule();
    let ends = ends.filter(|_| run.flag(KARRAS) == Some(true));
    let (timesteps, mut sigmas): (Vec<f64>, Vec<f64>) = match ends {
        Some([first, last]) => {
            let [largest, smallest] = KARRAS_ENDS.map(|key| run.number(key));
            let largest = largest.unwrap_or_else(|| schedule.sigma(first));
            let smallest = smallest.unwrap_or_else(|| schedule.sigma(last));
            karras([largest, smallest], timesteps.len())
                .map(|sigma| (schedule.timestep(sigma), f64::from(sigma as f32)))
                .unzip()
        }
        None => timesteps.into_iter().map(|timestep| (timestep, schedule.sigma(timestep))).unzip(),
    };
    sigmas.push(0.0);
    (timesteps, sigmas)
}

/// Formula 5 of <https://arxiv.org/abs/2206.00364>, with its rho.
fn karras([first, last]: [f64; 2], count: usize) -> impl Iterator<Item = f64> {
    const RHO: f64 = 7.0;
    let (first, last) = (first.powf(1.0 / RHO), last.powf(1.0 / RHO));
    let steps = count.saturating_sub(1).max(1) as f64;
    (0..count).map(move |index| (first + index as f64 / steps * (last - first)).powf(RHO))
}

/// The cumulative product of alphas that belongs to a sigma.
pub(super) fn alpha_prod(sigma: f64) -> f64 {
    1.0 / (sigma * sigma + 1.0)
}
