//! Classifier-free guidance sampling (Ho and Salimans 2022), as in diffusers'
//! `StableDiffusionPipeline`, `StableDiffusionXLPipeline` and `LDMTextToImagePipeline`.

use burn::tensor::{Device, Tensor, TensorData};
use dvar_callbacks::LocalBoxFuture;
use dvar_models::{unet::UNet2DConditionModel, vae::AutoencoderKl};

use super::{Conditioning, PipelineError, PromptEncoder, PromptIds, TimeIds};
use crate::{
    data::image::Picture,
    rng::{Purpose, Stream},
    schedulers::{Scheduler, SchedulerConfig, SchedulerKind},
    tensor::{DeviceError, read},
};

/// How pictures are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingOptions {
    /// The sampler.
    pub scheduler: SchedulerKind,
    /// Denoising steps.
    pub num_inference_steps: usize,
    /// How strongly the prompt is followed; see [`ModelFamily`](super::ModelFamily).
    pub guidance_scale: f64,
    /// Share of fresh noise in each DDIM step, 0 to 1.
    pub eta: f64,
    /// Picture height in pixels.
    pub height: usize,
    /// Picture width in pixels.
    pub width: usize,
    /// Picture `i` is drawn from stream `i` of this seed, whatever the batch.
    pub seed: u64,
}

/// Told how far a drawing is.
pub trait DrawProgress {
    /// `done` of `total` denoising steps are made, over all batches; the device has finished them.
    ///
    /// # Errors
    ///
    /// What ends the drawing.
    fn denoised<'a>(
        &'a self,
        done: usize,
        total: usize,
    ) -> LocalBoxFuture<'a, Result<(), PipelineError>>;
}

/// Everything that text to pictures needs.
pub struct TextToImage<'a> {
    /// Texts to hidden states.
    pub encoder: &'a PromptEncoder,
    /// The denoiser.
    pub unet: &'a UNet2DConditionModel,
    /// The autoencoder.
    pub vae: &'a AutoencoderKl,
    /// The noise schedule.
    pub scheduler: &'a SchedulerConfig,
    /// Told of each step, if anyone is.
    pub watch: Option<&'a dyn DrawProgress>,
}

/// Pictures drawn at once; each takes two inputs of the UNet under guidance.
pub(crate) const BATCH: usize = 4;

/// Checks that pictures of this width and height, in pixels, become whole latents where a latent is
/// `multiple` pixels wide.
pub(super) fn check_size(size: [usize; 2], multiple: usize) -> Result<(), PipelineError> {
    let fits = |side: usize| (1..=2048).contains(&side) && side.is_multiple_of(multiple);
    if size.into_iter().all(fits) {
        return Ok(());
    }
    let [width, height] = size;
    Err(PipelineError::Size { width, height, multiple })
}

impl TextToImage<'_> {
    /// Draws one picture for each prompt.
    ///
    /// # Arguments
    ///
    /// - first: index of the first picture, which chooses its noise
    /// - negative_prompt: what the pictures should not show; none is an empty text, or with SDXL
    ///   zeros, unless its files say otherwise
    /// - vectors: the learned vectors, `[num_vectors, width]` for each text encoder
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if the scheduler refuses the options, the model cannot draw the size
    /// ([`ModelFolder::check_size`](super::ModelFolder::check_size)) or the device fails, and what
    /// [`DrawProgress::denoised`] gives.
    pub async fn generate(
        &self,
        first: usize,
        prompts: &[String],
        negative_prompt: Option<&str>,
        vectors: &[Tensor<2>],
        options: &SamplingOptions,
    ) -> Result<Vec<Picture>, PipelineError> {
        check_size([options.width, options.height], self.vae.downscale)?;
        let vectors: Vec<_> = vectors.iter().map(|vectors| vectors.clone().inner()).collect();
        let mut pictures = Vec::with_capacity(prompts.len());
        let batches = prompts.len().div_ceil(BATCH);
        for (batch, prompts) in prompts.chunks(BATCH).enumerate() {
            let tokenizers = self.encoder.tokenizers();
            let texts: Vec<_> = prompts.iter().map(|text| tokenizers.encode_parts(text)).collect();
            let negative = tokenizers.encode_parts(negative_prompt.unwrap_or_default());
            let negative = vec![negative; prompts.len()];
            // both sides of the guidance are equally long
            let parts = texts.iter().chain(&negative).map(Vec::len).max().unwrap_or(1);
            let time_ids = vec![TimeIds::whole(options.height, options.width); prompts.len()];
            let encode = |texts: &[Vec<PromptIds>]| {
                self.encoder.encode_parts(texts, parts, &vectors, &time_ids)
            };
            let text = encode(&texts);
            let guided = (self.encoder.family().is_guided)(options.guidance_scale);
            let negative = guided.then(|| match negative_prompt {
                None if self.encoder.no_prompt_is_zero() => text.without_text(),
                _ => encode(&negative),
            });
            let device = text.hidden_states.device();
            let noise = SamplingNoise { first: first + batch * BATCH, options, device };
            let latents = self.denoise(text, negative, &noise, (batch, batches)).await?;
            pictures.extend(self.decode(latents).await?);
        }
        Ok(pictures)
    }

    /// Batch number `batch` of `batches`.
    async fn denoise(
        &self,
        text: Conditioning,
        negative: Option<Conditioning>,
        noise: &SamplingNoise<'_>,
        (batch, batches): (usize, usize),
    ) -> Result<Tensor<4>, PipelineError> {
        let options = noise.options;
        let mut scheduler =
            self.scheduler.build(options.scheduler, options.num_inference_steps, options.eta)?;
        let [count, ..] = text.hidden_states.dims();
        let shape = [
            count,
            self.vae.latent_channels,
            options.height / self.vae.downscale,
            options.width / self.vae.downscale,
        ];
        let latents = noise.initial(shape).mul_scalar(scheduler.init_noise_sigma());
        let steps = scheduler.timesteps().len();
        let watch = async |step, latents: &Tensor<4>| {
            let Some(watch) = self.watch else { return Ok(()) };
            // a GPU is given work ahead: it has done a step when a value of it can be read
            let value = latents.clone().slice([0..1, 0..1, 0..1, 0..1]).into_data_async().await;
            value.map_err(DeviceError::new)?;
            watch.denoised(batch * steps + step + 1, batches * steps).await
        };
        denoise(
            self.unet,
            scheduler.as_mut(),
            &Guidance { text, negative, scale: options.guidance_scale },
            latents,
            |step| noise.variance(shape, step),
            watch,
        )
        .await
    }

    async fn decode(&self, latents: Tensor<4>) -> Result<Vec<Picture>, PipelineError> {
        let mut pictures = Vec::new();
        let [count, ..] = latents.dims();
        for i in 0..count {
            // one at a time: the decoder's activations are the largest of all
            let latents = latents.clone().narrow(0, i, 1).div_scalar(self.vae.scaling_factor);
            pictures.push(to_picture(self.vae.decode(latents)).await?);
        }
        Ok(pictures)
    }
}

/// Both sides of the guidance.
#[derive(Clone, Debug)]
pub struct Guidance {
    /// What is drawn.
    pub text: Conditioning,
    /// Of the same shapes; `None` draws from `text` alone, whatever the scale.
    pub negative: Option<Conditioning>,
    /// How far from `negative` towards `text` and beyond: 0 is `negative`, 1 is `text`.
    pub scale: f64,
}

/// Walks latents from noise to a picture's, along the scheduler's time steps.
///
/// `variance_noise` is asked for fresh noise where the scheduler wants some; `observe` sees the
/// latents after each step.
///
/// # Errors
///
/// What `observe` gives.
pub async fn denoise(
    unet: &UNet2DConditionModel,
    scheduler: &mut dyn Scheduler,
    guidance: &Guidance,
    mut latents: Tensor<4>,
    variance_noise: impl Fn(usize) -> Tensor<4>,
    mut observe: impl AsyncFnMut(usize, &Tensor<4>) -> Result<(), PipelineError>,
) -> Result<Tensor<4>, PipelineError> {
    let [count, ..] = latents.dims();
    let context = match &guidance.negative {
        Some(negative) => Conditioning::cat(vec![negative.clone(), guidance.text.clone()]),
        None => guidance.text.clone(),
    };
    for step in 0..scheduler.timesteps().len() {
        let time = scheduler.timesteps()[step];
        let input = scheduler.scale_model_input(latents.clone(), step);
        let stem = unet.stem(input, &vec![time; count]);
        let noise_pred = if guidance.negative.is_some() {
            let both = unet.forward_from(&stem.repeated(2), context.clone());
            let negative = both.clone().narrow(0, 0, count);
            let text = both.narrow(0, count, count);
            negative.clone() + (text - negative).mul_scalar(guidance.scale)
        } else {
            unet.forward_from(&stem, context.clone())
        };
        let noise = scheduler.needs_variance_noise(step).then(|| variance_noise(step));
        latents = scheduler.step(noise_pred, step, latents, noise);
        observe(step, &latents).await?;
    }
    Ok(latents)
}

/// Host-drawn noise for one batch of pictures.
struct SamplingNoise<'a> {
    /// Index of the batch's first picture.
    first: usize,
    options: &'a SamplingOptions,
    device: Device,
}

impl SamplingNoise<'_> {
    fn initial(&self, shape: [usize; 4]) -> Tensor<4> {
        self.draw(shape, Purpose::Sampling, |picture| picture)
    }

    fn variance(&self, shape: [usize; 4], step: usize) -> Tensor<4> {
        self.draw(shape, Purpose::SamplingVariance, |picture| (picture << 32) | step as u64)
    }

    fn draw(&self, shape: [usize; 4], purpose: Purpose, stream: impl Fn(u64) -> u64) -> Tensor<4> {
        let [count, channels, height, width] = shape;
        let values: Vec<f32> = (self.first..self.first + count)
            .flat_map(|picture| {
                Stream::new(self.options.seed, purpose, stream(picture as u64))
                    .normal(channels * height * width)
            })
            .collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}

/// `[1, 3, height, width]` in [-1, 1] to 8 bits, rounded as diffusers does.
async fn to_picture(decoded: Tensor<4>) -> Result<Picture, PipelineError> {
    let [_, _, height, width] = decoded.dims();
    let values = decoded.div_scalar(2.0).add_scalar(0.5).permute([0, 2, 3, 1]);
    let values = read(values).await?;
    if !values.iter().all(|value| value.is_finite()) {
        return Err(PipelineError::NotFinite);
    }
    let pixel = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    let pixels = values.into_iter().map(pixel).collect();
    Picture::from_rgb(width, height, pixels).map_err(|e| PipelineError::Pictures(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_range_are_cut_and_no_numbers_are_an_error() {
        let picture = |values: [f32; 3]| {
            let decoded = Tensor::<1>::from_floats(values, &Default::default());
            pollster::block_on(to_picture(decoded.reshape([1, 3, 1, 1])))
        };
        assert_eq!(picture([-3.0, 0.0, 1.5]).unwrap().pixels(), [0, 128, 255]);
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let refused = picture([0.0, broken, 0.0]);
            assert!(matches!(refused, Err(PipelineError::NotFinite)), "{refused:?}");
        }
    }
}
