//! How much signal and how much noise a latent holds at each training timestep
//! (<https://arxiv.org/abs/2006.11239>, formula 4).

use burn::tensor::{Tensor, TensorData};

use super::prediction::PredictionType;

/// The forward process: latents and noise in, noisy latents and the model's target out.
///
/// Made by [`SchedulerConfig::noise_schedule`](super::SchedulerConfig::noise_schedule).
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f32>,
    prediction_type: PredictionType,
}

impl NoiseSchedule {
    pub(super) fn new(betas: &[f32], prediction_type: PredictionType) -> Self {
        // torch multiplies f32 values in an f64 accumulator.
        let alphas_cumprod = betas
            .iter()
            .scan(1.0_f64, |product, beta| {
                *product *= f64::from(1.0 - beta);
                Some(*product as f32)
            })
            .collect();
        Self { alphas_cumprod, prediction_type }
    }

    /// The same at the first timestep, but without any signal at the last
    /// (<https://arxiv.org/abs/2305.08891>, algorithm 1).
    pub(super) fn with_zero_terminal_snr(&self) -> Self {
        let levels: Vec<f32> = self.alphas_cumprod.iter().map(|alpha| alpha.sqrt()).collect();
        let (first, last) = (levels[0], levels[levels.len() - 1]);
        let scale = first / (first - last);
        let mut before = 1.0;
        // by betas, whose rounding diffusers has too
        let betas = levels.iter().map(|level| {
            let alpha_prod = ((level - last) * scale).powi(2);
            1.0 - alpha_prod / std::mem::replace(&mut before, alpha_prod)
        });
        Self::new(&betas.collect::<Vec<f32>>(), self.prediction_type)
    }

    /// The share of the signal's variance left at each timestep: the cumulative product of
    /// `1 - beta`, one value per training timestep.
    pub fn alphas_cumprod(&self) -> &[f32] {
        &self.alphas_cumprod
    }

    /// What the model predicts.
    pub fn prediction_type(&self) -> PredictionType {
        self.prediction_type
    }

    /// The cumulative product of alphas at a timestep.
    ///
    /// # Panics
    /// When `timestep` is not below the number of training timesteps.
    pub fn alpha_prod(&self, timestep: usize) -> f64 {
        f64::from(self.alphas_cumprod[timestep])
    }

    /// Noise over signal, `sqrt((1 - a) / a)`, at a timestep that may be fractional: between two
    /// timesteps it is interpolated, rounded to f32 as diffusers stores it.
    ///
    /// # Panics
    /// When `timestep` is negative or above the last training timestep.
    pub fn sigma(&self, timestep: f64) -> f64 {
        let at = |index: usize| f64::from(noise_over_signal(self.alphas_cumprod[index]));
        let below = timestep.floor();
        let fraction = timestep - below;
        let sigma = at(below as usize);
        if fraction == 0.0 {
            return sigma;
        }
        f64::from(((at(below as usize + 1) - sigma) * fraction + sigma) as f32)
    }

    /// The timestep of a sigma, as diffusers finds it: between two timesteps by the logarithm, so that it
    /// is not quite the inverse of [`sigma`](Self::sigma). The nearest one where a sigma is beyond all.
    pub(super) fn timestep(&self, sigma: f64) -> f64 {
        let logarithm = |alpha: f32| f64::from(noise_over_signal(alpha).ln());
        let (alphas, wanted) = (&self.alphas_cumprod, sigma.ln());
        let below = alphas.partition_point(|alpha| logarithm(*alpha) <= wanted).saturating_sub(1);
        let (low, Some(above)) = (logarithm(alphas[below]), alphas.get(below + 1)) else {
            return below as f64;
        };
        below as f64 + ((wanted - low) / (logarithm(*above) - low)).clamp(0.0, 1.0)
    }

    /// The latents with noise mixed in, each at its own timestep:
    /// `sqrt(a) * latents + sqrt(1 - a) * noise`.
    ///
    /// # Shapes
    /// - latents, noise, output: `[batch_size, channels, height, width]`
    /// - timesteps: `batch_size` values
    ///
    /// # Panics
    /// When a timestep is not below the number of training timesteps, or the sizes differ.
    pub fn add_noise(
        &self,
        latents: Tensor<4>,
        noise: Tensor<4>,
        timesteps: &[usize],
    ) -> Tensor<4> {
        let (signal_level, noise_level) = self.levels(&latents, timesteps);
        latents * signal_level + noise * noise_level
    }

    /// The velocity that a `v_prediction` model is trained on:
    /// `sqrt(a) * noise - sqrt(1 - a) * latents`.
    ///
    /// # Shapes
    /// - latents, noise, output: `[batch_size, channels, height, width]`
    /// - timesteps: `batch_size` values
    ///
    /// # Panics
    /// As [`add_noise`](Self::add_noise).
    pub fn velocity(&self, latents: Tensor<4>, noise: Tensor<4>, timesteps: &[usize]) -> Tensor<4> {
        let (signal_level, noise_level) = self.levels(&latents, timesteps);
        noise * signal_level - latents * noise_level
    }

    /// What the model's output is compared with in training: the noise or the velocity, by the
    /// prediction type.
    ///
    /// # Shapes
    /// - latents, noise, output: `[batch_size, channels, height, width]`
    /// - timesteps: `batch_size` values
    ///
    /// # Panics
    /// As [`add_noise`](Self::add_noise).
    pub fn target(&self, latents: Tensor<4>, noise: Tensor<4>, timesteps: &[usize]) -> Tensor<4> {
        match self.prediction_type {
            PredictionType::Epsilon => noise,
            PredictionType::VPrediction => self.velocity(latents, noise, timesteps),
        }
    }

    /// `sqrt(a)` and `sqrt(1 - a)`, each `[batch_size, 1, 1, 1]`.
    fn levels(&self, latents: &Tensor<4>, timesteps: &[usize]) -> (Tensor<4>, Tensor<4>) {
        // Broadcasting would hide a single timestep given for a whole batch.
        assert_eq!(latents.dims()[0], timesteps.len(), "one timestep per sample");
        let upload = |level: fn(f32) -> f32| {
            let levels: Vec<f32> =
                timesteps.iter().map(|timestep| level(self.alphas_cumprod[*timestep])).collect();
            let data = TensorData::new(levels, [timesteps.len(), 1, 1, 1]);
            Tensor::from_data(data, (&latents.device(), latents.dtype()))
        };
        (upload(f32::sqrt), upload(|alpha| (1.0 - alpha).sqrt()))
    }
}

/// Sigma, of the share of the signal's variance. Where none is left it is that of f16's smallest number, as
/// in diffusers.
fn noise_over_signal(alpha_prod: f32) -> f32 {
    const TRACE: f32 = 1.0 / (1_u32 << 24) as f32;
    let alpha_prod = if alpha_prod == 0.0 { TRACE } else { alpha_prod };
    ((1.0 - alpha_prod) / alpha_prod).sqrt()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};
    use proptest::prelude::*;

    use super::{super::BetaSchedule, *};

    fn stable_diffusion(prediction_type: PredictionType) -> NoiseSchedule {
        NoiseSchedule::new(&BetaSchedule::ScaledLinear.betas(0.00085, 0.012, 1000), prediction_type)
    }

    fn tensor(values: &[f32]) -> Tensor<4> {
        Tensor::from_data(
            TensorData::new(values.to_vec(), [values.len(), 1, 1, 1]),
            &Device::flex(),
        )
    }

    #[test]
    fn sigma_between_two_timesteps_lies_between_theirs() {
        let schedule = stable_diffusion(PredictionType::Epsilon);
        let middle = (schedule.sigma(500.0) + schedule.sigma(501.0)) / 2.0;
        assert!((schedule.sigma(500.5) - middle).abs() < 1e-6);
        assert_eq!(schedule.sigma(999.0), 14.614_646_911_621_094);
    }

    #[test]
    fn levels_without_signal_at_the_end_fall_in_the_same_proportions() {
        let plain = stable_diffusion(PredictionType::VPrediction);
        let rescaled = plain.with_zero_terminal_snr();
        let level = |schedule: &NoiseSchedule, at: usize| schedule.alpha_prod(at).sqrt();
        let (first, last) = (level(&plain, 0), level(&plain, 999));
        assert_eq!(rescaled.alpha_prod(999), 0.0);
        for at in [0, 1, 500, 998] {
            let want = first * (level(&plain, at) - last) / (first - last);
            assert!((level(&rescaled, at) - want).abs() < 1e-5, "{at}");
        }
        let largest = (2_f64.powi(24) - 1.0).sqrt();
        assert!((rescaled.sigma(999.0) - largest).abs() < 1e-3);
    }

    #[test]
    fn the_timestep_of_a_sigma_lies_where_the_logarithm_does() {
        let schedule = stable_diffusion(PredictionType::Epsilon);
        let close = |sigma, timestep: f64| (schedule.timestep(sigma) - timestep).abs() < 1e-3;
        for timestep in [0.0, 1.0, 500.0, 998.0, 999.0] {
            assert!(close(schedule.sigma(timestep), timestep), "{timestep}");
        }
        let middle = (schedule.sigma(0.0) * schedule.sigma(1.0)).sqrt();
        assert!(close(middle, 0.5));
        assert!(close(1e-3, 0.0) && close(1e3, 999.0), "beyond all");
    }

    #[test]
    fn each_sample_of_a_batch_gets_its_own_timestep() {
        let schedule = stable_diffusion(PredictionType::Epsilon);
        let batch = schedule.add_noise(tensor(&[1.0, 1.0]), tensor(&[0.0, 0.0]), &[3, 900]);
        let alphas = [3, 900].map(|timestep| schedule.alphas_cumprod()[timestep].sqrt());
        batch
            .into_data()
            .assert_approx_eq::<f32>(&tensor(&alphas).into_data(), Tolerance::absolute(1e-7));
    }

    proptest! {
        #[test]
        fn noise_fades_in_from_the_latents_to_the_noise(
            latent in -3.0_f32..3.0, noise in -3.0_f32..3.0,
        ) {
            let schedule = stable_diffusion(PredictionType::Epsilon);
            let at = |timestep| -> f32 {
                schedule.add_noise(tensor(&[latent]), tensor(&[noise]), &[timestep]).into_scalar()
            };
            prop_assert!((at(0) - latent).abs() < 0.1);
            prop_assert!((at(999) - noise).abs() < 0.25);
        }

        #[test]
        fn a_perfect_velocity_gives_back_the_latents_and_the_noise(
            latent in -3.0_f32..3.0, noise in -3.0_f32..3.0, timestep in 0_usize..1000,
        ) {
            let schedule = stable_diffusion(PredictionType::VPrediction);
            let (latents, noises) = (tensor(&[latent]), tensor(&[noise]));
            let noisy = schedule.add_noise(latents.clone(), noises.clone(), &[timestep]);
            let velocity = schedule.target(latents, noises, &[timestep]);
            let alpha_prod = schedule.alpha_prod(timestep);
            let prediction = schedule.prediction_type();
            let original: f32 = prediction
                .original_sample(noisy.clone(), velocity.clone(), alpha_prod).into_scalar();
            let epsilon: f32 = prediction.epsilon(noisy, velocity, alpha_prod).into_scalar();
            prop_assert!((original - latent).abs() < 2e-6, "{original} {latent}");
            prop_assert!((epsilon - noise).abs() < 2e-6, "{epsilon} {noise}");
        }
    }
}
