//! The diffusion objective of Textual Inversion (Gal et al. 2022, equation 2).

use burn::tensor::{Device, Tensor, TensorData};
use dvar_models::unet::UNet2DConditionModel;

use super::Draws;
use crate::{
    data::latents::LatentCache,
    pipelines::{PromptEncoder, Prompts},
    schedulers::NoiseSchedule,
};

/// One batch, ready for the networks: all that does not depend on the vectors is computed.
#[derive(Clone, Debug)]
pub struct Batch {
    prompts: Prompts,
    noisy_latents: Tensor<4>,
    timesteps: Vec<f64>,
    target: Tensor<4>,
}

/// Mean squared error between the noise in latents and the UNet's prediction of it.
#[derive(Debug)]
pub struct DiffusionObjective {
    /// Captions to hidden states.
    pub encoder: PromptEncoder,
    /// The frozen denoiser.
    pub unet: UNet2DConditionModel,
    /// The noise schedule of training.
    pub noise_schedule: NoiseSchedule,
    /// The training pictures' latents.
    pub latents: LatentCache,
    /// Token ids of the caption templates.
    pub templates: Vec<Vec<u32>>,
}

impl DiffusionObjective {
    /// Where the frozen networks live.
    pub fn device(&self) -> Device {
        self.latents.device()
    }

    /// Puts the draws of one micro-batch together.
    pub fn batch(&self, draws: &Draws) -> Batch {
        let [channels, height, width] = self.latents.latent_shape();
        let tensor = |values: &[f32]| {
            let shape = [draws.pictures.len(), channels, height, width];
            Tensor::<4>::from_data(TensorData::new(values.to_vec(), shape), &self.device())
        };
        let noise = tensor(&draws.noise);
        let latents =
            self.latents.sample(&draws.pictures, &draws.flips, tensor(&draws.posterior_noise));
        let captions: Vec<Vec<u32>> =
            draws.templates.iter().map(|template| self.templates[*template].clone()).collect();
        Batch {
            prompts: self.encoder.prepare(&captions),
            target: self.noise_schedule.target(latents.clone(), noise.clone(), &draws.timesteps),
            noisy_latents: self.noise_schedule.add_noise(latents, noise, &draws.timesteps),
            timesteps: draws.timesteps.iter().map(|time| *time as f64).collect(),
        }
    }

    /// The loss of a batch under the given vectors. Tracked vectors give a tracked loss; plain
    /// ones leave no graph. The reduction runs in f32.
    ///
    /// # Shapes
    ///
    /// - vectors: `[num_vectors, width]`
    /// - output: `[1]`
    pub fn loss(&self, vectors: &Tensor<2>, batch: &Batch) -> Tensor<1> {
        self.loss_under(self.encode(vectors, batch), batch)
    }

    /// The captions' hidden states under the given vectors: `[batch_size, length, width]`.
    pub fn encode(&self, vectors: &Tensor<2>, batch: &Batch) -> Tensor<3> {
        self.encoder.encode(&batch.prompts, vectors)
    }

    /// The loss under the given hidden states, `[1]`.
    pub fn loss_under(&self, encoder_hidden_states: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let sample = batch.noisy_latents.clone();
        let prediction = self.unet.forward(sample, &batch.timesteps, encoder_hidden_states);
        (prediction - batch.target.clone()).square().mean()
    }
}
