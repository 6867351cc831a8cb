//! The diffusion objective of Textual Inversion (Gal et al. 2022, equation 2), and its extension by
//! prior preservation (Ruiz et al. 2023, section 3.2).

use burn::tensor::{Device, Tensor, TensorData};
use dvar_models::{
    unet::{UNet2DConditionModel, UNetPrefix},
    vae::AutoencoderKl,
};

use super::{CAPTION_PREFIXES, Draws, LatentCache};
use crate::{
    concept::ConceptWeights,
    data::image::Picture,
    pipelines::{Conditioning, PromptEncoder, PromptIds, Prompts, TimeIds},
    schedulers::NoiseSchedule,
    tensor::total,
};

/// One batch, ready for the networks: all that does not depend on the concept is computed.
#[derive(Clone, Debug)]
pub struct Batch {
    prompts: Prompts,
    time_ids: Vec<TimeIds>,
    noisy_latents: Tensor<4>,
    timesteps: Vec<f64>,
    /// What the UNet makes of these two before the text enters, where it is kept.
    stem: Option<UNetPrefix>,
    target: Tensor<4>,
    /// What each squared error counts, `[batch_size, 1, height, width]`; all alike if none.
    error_weights: Option<Tensor<4>>,
}

impl Batch {
    /// What the UNet and the loss take of each input so many times, all of them first and then all again;
    /// what the text encoder takes stays.
    fn repeated(&self, times: usize) -> Self {
        let repeated = |x: &Tensor<4>| Tensor::cat(vec![x.clone(); times], 0);
        Self {
            noisy_latents: repeated(&self.noisy_latents),
            timesteps: self.timesteps.repeat(times),
            stem: self.stem.as_ref().map(|stem| stem.repeated(times)),
            target: repeated(&self.target),
            error_weights: self.error_weights.as_ref().map(repeated),
            ..self.clone()
        }
    }
}

/// What one batch is made of; everything has the batch's length.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Token ids.
    pub captions: Vec<PromptIds>,
    /// Scaled, `[batch_size, channels, height, width]`
    pub latents: Tensor<4>,
    /// The same shape.
    pub noise: Tensor<4>,
    /// From 0 to the schedule's last step.
    pub timesteps: Vec<usize>,
    /// The pictures' sizes, which SDXL is told.
    pub time_ids: Vec<TimeIds>,
}

/// Mean squared error between the noise in latents and the UNet's prediction of it.
#[derive(Debug)]
pub struct DiffusionObjective {
    /// Captions to hidden states.
    pub encoder: PromptEncoder,
    /// The denoiser, with its own weights.
    pub unet: UNet2DConditionModel,
    /// The noise schedule of training.
    pub noise_schedule: NoiseSchedule,
    /// The training pictures' latents.
    pub latents: LatentCache,
    /// Token ids of the captions; with rescaled pictures, each template's
    /// [`CAPTION_PREFIXES`] in turn.
    pub templates: Vec<PromptIds>,
    /// Whether each picture has captions of its own, as many as the others, those of the first first.
    pub captions_of_pictures: bool,
    /// What each place of each picture's latents counts, from 0 to 1; all alike if none.
    pub masks: Option<Vec<Vec<f32>>>,
    /// For methods that rescale the pictures anew each time.
    pub rescaled: Option<RescaledPictures>,
    /// For methods that train on pictures of the class beside those of the concept.
    pub prior: Option<PriorPreservation>,
}

/// Pictures that are encoded anew at each step, because each step rescales them.
#[derive(Debug)]
pub struct RescaledPictures {
    /// The autoencoder.
    pub vae: AutoencoderKl,
    /// The training pictures, each once.
    pub pictures: Vec<Picture>,
    /// Which of them each picture of a round is.
    pub round: Vec<usize>,
    /// Height and width of what is encoded, in pixels.
    pub size: usize,
}

/// What keeps the class as it is while one of its members is learned.
#[derive(Debug)]
pub struct PriorPreservation {
    /// The class pictures' latents.
    pub latents: LatentCache,
    /// Token ids of the class' caption.
    pub caption: PromptIds,
    /// What the class' loss counts beside the concept's.
    pub weight: f64,
}

impl DiffusionObjective {
    /// The objective of Textual Inversion and DreamBooth-LoRA.
    pub fn new(
        encoder: PromptEncoder,
        unet: UNet2DConditionModel,
        noise_schedule: NoiseSchedule,
        latents: LatentCache,
        templates: Vec<PromptIds>,
    ) -> Self {
        Self {
            encoder,
            unet,
            noise_schedule,
            latents,
            templates,
            captions_of_pictures: false,
            masks: None,
            rescaled: None,
            prior: None,
        }
    }

    /// Where the frozen networks live.
    pub fn device(&self) -> Device {
        self.latents.device()
    }

    /// Puts the draws of one micro-batch together.
    ///
    /// # Panics
    ///
    /// If there are none, or their pictures are of several sizes.
    pub fn batch(&self, draws: &Draws) -> Batch {
        let (latents, mask) = self.instances(draws);
        let [_, shape @ ..] = latents.dims();
        let captions =
            draws.templates.iter().enumerate().map(|(i, template)| match draws.rescales.get(i) {
                Some(rescale) => CAPTION_PREFIXES.len() * template + rescale.prefix,
                None if self.captions_of_pictures => {
                    let each = self.templates.len() / self.latents.pictures();
                    draws.pictures[i] * each + template
                }
                None => *template,
            });
        let mut inputs = Inputs {
            captions: captions.map(|i| self.templates[i].clone()).collect(),
            noise: self.noise(&draws.noise, draws.pictures.len(), shape),
            timesteps: draws.timesteps.clone(),
            time_ids: self.latents.time_ids(&draws.pictures),
            latents,
        };
        let (Some(prior), Some(drawn)) = (&self.prior, &draws.prior) else {
            return self.prepare(inputs, self.masked(draws));
        };
        let count = drawn.pictures.len();
        // a method that has such pictures has all of one size
        let posterior_noise = self.noise(&drawn.posterior_noise, count, shape);
        let class = prior.latents.sample(&drawn.pictures, &drawn.flips, posterior_noise);
        inputs.latents = Tensor::cat(vec![inputs.latents, class], 0);
        inputs.noise = Tensor::cat(vec![inputs.noise, self.noise(&drawn.noise, count, shape)], 0);
        inputs.timesteps.extend(&drawn.timesteps);
        inputs.time_ids.extend(prior.latents.time_ids(&drawn.pictures));
        inputs.captions.extend(vec![prior.caption.clone(); count]);
        self.prepare(inputs, Some(self.error_weights(&mask, count, prior.weight)))
    }

    /// Computes all that does not depend on the concept.
    ///
    /// # Shapes
    ///
    /// - error_weights: `[batch_size, 1, height, width]`; all errors count alike if none
    pub fn prepare(&self, inputs: Inputs, error_weights: Option<Tensor<4>>) -> Batch {
        let Inputs { captions, latents, noise, timesteps, time_ids } = inputs;
        Batch {
            prompts: self.encoder.prepare(&captions),
            time_ids,
            target: self.noise_schedule.target(latents.clone(), noise.clone(), &timesteps),
            noisy_latents: self.noise_schedule.add_noise(latents, noise, &timesteps),
            timesteps: timesteps.iter().map(|time| *time as f64).collect(),
            stem: None,
            error_weights,
        }
    }

    /// The batch with the part of the UNet that does not depend on the concept, for batches whose
    /// loss is asked for again and again.
    #[must_use]
    pub fn with_stem(&self, batch: Batch) -> Batch {
        let stem = self.unet.stem(batch.noisy_latents.clone(), &batch.timesteps);
        Batch { stem: Some(stem), ..batch }
    }

    /// Scaled latents of the concept's pictures, and where each shows its picture.
    fn instances(&self, draws: &Draws) -> (Tensor<4>, Vec<f32>) {
        let count = draws.pictures.len();
        let shape @ [_, height, width] = self.latents.latent_shape(draws.pictures[0]);
        let posterior_noise = self.noise(&draws.posterior_noise, count, shape);
        let Some(rescaled) = self.rescaled.as_ref().filter(|_| !draws.rescales.is_empty()) else {
            let latents = self.latents.sample(&draws.pictures, &draws.flips, posterior_noise);
            return (latents, vec![1.0; count * height * width]);
        };
        let (size, vae) = (rescaled.size, &rescaled.vae);
        let (mut moments, mut mask) = (Vec::new(), Vec::new());
        for ((picture, flip), rescale) in
            draws.pictures.iter().zip(&draws.flips).zip(&draws.rescales)
        {
            let picture = &rescaled.pictures[rescaled.round[*picture]];
            let picture = if *flip { picture.flip() } else { picture.clone() };
            let pixels = TensorData::new(rescale.apply(&picture, size), [1, 3, size, size]);
            moments.push(vae.encode(Tensor::from_data(pixels, &self.device())));
            mask.extend(rescale.mask(size, vae.downscale));
        }
        let mean = Tensor::cat(moments.iter().map(|m| m.mean.clone()).collect(), 0);
        let std = Tensor::cat(moments.iter().map(|m| m.std()).collect(), 0);
        ((mean + std * posterior_noise).mul_scalar(vae.scaling_factor), mask)
    }

    /// What each squared error counts where the pictures have masks, so that the loss is the mean of the
    /// masked errors over all places, as sd-scripts has it; `[batch_size, 1, height, width]`.
    fn masked(&self, draws: &Draws) -> Option<Tensor<4>> {
        let masks = self.masks.as_ref()?;
        let [channels, height, width] = self.latents.latent_shape(draws.pictures[0]);
        let count = draws.pictures.len();
        let all = (count * channels * height * width) as f32;
        let mut weights = Vec::with_capacity(count * height * width);
        for (picture, flip) in draws.pictures.iter().zip(&draws.flips) {
            for row in masks[*picture].chunks(width) {
                if *flip {
                    weights.extend(row.iter().rev().map(|counts| counts / all));
                } else {
                    weights.extend(row.iter().map(|counts| counts / all));
                }
            }
        }
        let data = TensorData::new(weights, [count, 1, height, width]);
        Some(Tensor::from_data(data, &self.device()))
    }

    /// What each squared error counts in a batch of the concept's pictures and then `class` of its
    /// class: the masked mean of each of the first, averaged, plus `weight` times the plain mean of
    /// the others. As in the reference, the mask counts places, not channels: the concept's part is
    /// their number times larger than a mean over its elements. All pictures are of one size.
    ///
    /// # Shapes
    ///
    /// - mask: `height * width` values for each of the concept's pictures
    /// - output: `[batch_size, 1, height, width]`
    pub fn error_weights(&self, mask: &[f32], class: usize, weight: f64) -> Tensor<4> {
        let [channels, height, width] = self.latents.latent_shape(0);
        let places = height * width;
        let count = mask.len() / places;
        let mut weights: Vec<f32> = mask
            .chunks(places)
            .flat_map(|mask| {
                let shown: f32 = mask.iter().sum();
                mask.iter().map(move |seen| seen / (shown * count as f32))
            })
            .collect();
        let each = weight / (class * channels * places) as f64;
        weights.extend(vec![each as f32; class * places]);
        let shape = [count + class, 1, height, width];
        Tensor::from_data(TensorData::new(weights, shape), &self.device())
    }

    /// The first of the values drawn for each of `count` inputs, as many as its latents have.
    fn noise(&self, values: &[f32], count: usize, latent_shape: [usize; 3]) -> Tensor<4> {
        let [channels, height, width] = latent_shape;
        let each = values.chunks(values.len() / count);
        let values: Vec<f32> =
            each.flat_map(|values| &values[..channels * height * width]).copied().collect();
        let shape = [count, channels, height, width];
        Tensor::from_data(TensorData::new(values, shape), &self.device())
    }

    /// The loss of a batch under the given weights. Tracked weights give a tracked loss; plain
    /// ones leave no graph. The reduction runs in f32. Output: `[1]`
    pub fn loss(&self, weights: &ConceptWeights, batch: &Batch) -> Tensor<1> {
        self.loss_under(self.encode(weights, batch), weights, batch)
    }

    /// What the UNet is told of the captions.
    pub fn encode(&self, weights: &ConceptWeights, batch: &Batch) -> Conditioning {
        self.encoder.encode(&batch.prompts, &weights.vectors, &batch.time_ids)
    }

    /// The loss where the UNet is told this, `[1]`.
    pub fn loss_under(
        &self,
        conditioning: Conditioning,
        weights: &ConceptWeights,
        batch: &Batch,
    ) -> Tensor<1> {
        Self::reduce(self.squared_errors(conditioning, weights, batch), batch)
    }

    /// The loss of a batch, `[1]`, and the mean squared error of each of its inputs,
    /// `[batch_size]`.
    pub fn loss_and_each_input(
        &self,
        weights: &ConceptWeights,
        batch: &Batch,
    ) -> (Tensor<1>, Tensor<1>) {
        let errors = self.squared_errors(self.encode(weights, batch), weights, batch);
        let each = match &batch.error_weights {
            // each is the mean of its own errors, and all count alike
            Some(weights) => {
                let [count, ..] = errors.dims();
                let weighed = errors.clone() * weights.clone().mul_scalar(count as f64);
                weighed.flatten::<2>(1, 3).sum_dim(1).flatten(0, 1)
            }
            None => errors.clone().flatten::<2>(1, 3).mean_dim(1).flatten(0, 1),
        };
        (Self::reduce(errors, batch), each)
    }

    /// The losses of a batch under each of several concepts that leave the UNet as it is, in one pass:
    /// `[concepts]`.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn losses_side_by_side(&self, concepts: &[ConceptWeights], batch: &Batch) -> Tensor<1> {
        let told = concepts.iter().map(|concept| self.encode(concept, batch)).collect();
        let batch = batch.repeated(concepts.len());
        let unchanged = ConceptWeights::new(Vec::new());
        let errors = self.squared_errors(Conditioning::cat(told), &unchanged, &batch);
        let of_each = |errors: Tensor<4>| errors.reshape([concepts.len() as i32, -1]);
        match &batch.error_weights {
            Some(weights) => of_each(errors * weights.clone()).sum_dim(1),
            None => of_each(errors).mean_dim(1),
        }
        .flatten(0, 1)
    }

    fn squared_errors(
        &self,
        conditioning: Conditioning,
        weights: &ConceptWeights,
        batch: &Batch,
    ) -> Tensor<4> {
        let unet = weights.unet(&self.unet);
        let prediction = match &batch.stem {
            Some(stem) => unet.forward_from(stem, conditioning),
            None => {
                let sample = batch.noisy_latents.clone();
                unet.forward(sample, &batch.timesteps, conditioning)
            }
        };
        (prediction - batch.target.clone()).square()
    }

    fn reduce(errors: Tensor<4>, batch: &Batch) -> Tensor<1> {
        match &batch.error_weights {
            Some(weights) => total(errors * weights.clone()),
            None => errors.mean(),
        }
    }
}
