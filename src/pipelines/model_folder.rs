//! A model's folder in diffusers' layout: read and checked first, loaded part by
//! part when a part is needed, so that none stays in memory longer than it must.

use std::{path::Path, sync::Arc};

use burn::tensor::{DType, Device};
use dvar_models::{
    ModelError,
    unet::{UNet2DConditionConfig, UNet2DConditionModel},
    vae::{AutoencoderKl, AutoencoderKlConfig},
    weights::{self, Folder, ModelSource},
};

use super::{
    EmbeddingWidths, ModelFamily, PipelineError, PromptEncoder, PromptTokenizers, STABLE_DIFFUSION,
    STABLE_DIFFUSION_XL, TextEncoderPart, text_encoder::TextEncoderConfig,
    text_to_image::check_size,
};
use crate::{
    data::framing::STEPS,
    schedulers::{BetaSchedule, PredictionType, SchedulerConfig},
    tensor::computes_in,
};

/// A model folder with its configurations, all checked; weights are yet to be loaded.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    files: Arc<dyn ModelSource>,
    name: String,
    family: &'static ModelFamily,
    text_encoders: Vec<(TextEncoderPart, Arc<dyn TextEncoderConfig>)>,
    unet: UNet2DConditionConfig,
    vae: AutoencoderKlConfig,
    scheduler: SchedulerConfig,
    precision: DType,
    no_prompt_is_zero: bool,
}

impl ModelFolder {
    /// Opens a folder on disk.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn open(folder: &Path) -> Result<Self, PipelineError> {
        Self::new(Folder(folder.to_path_buf()), folder.display().to_string())
    }

    /// Reads and checks every configuration.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] where a file is missing or broken, or the parts do not fit each other.
    pub fn new(files: impl ModelSource + 'static, name: String) -> Result<Self, PipelineError> {
        let family = ModelFamily::of(&files)?;
        Self::with_family(files, name, family)
    }

    /// Reads and checks every configuration of a model of a given family.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn with_family(
        files: impl ModelSource + 'static,
        name: String,
        family: &'static ModelFamily,
    ) -> Result<Self, PipelineError> {
        let read = |file: &str| files.read(file);
        let shown = |file: &str| files.display(file);
        // before the parts that another model may lack
        let unet = "unet/config.json";
        let mut denoiser = UNet2DConditionConfig::parse(&read(unet)?, &shown(unet))?;
        family.check_denoiser(&denoiser, &files)?;
        if *family == STABLE_DIFFUSION_XL {
            // 1024 pixels, for which SDXL was made; the size that its autoencoders name is often 512
            denoiser.sample_size.get_or_insert(128);
        }
        let text_encoders = (family.text_encoders)(&files).into_iter().map(|part| {
            let file = format!("{}/config.json", part.folder);
            let config = (part.config)(&read(&file)?, &shown(&file))?;
            Ok((part, config))
        });
        let text_encoders = text_encoders.collect::<Result<_, ModelError>>()?;
        let vae = format!("{}/config.json", (family.vae)(&files));
        let vae = AutoencoderKlConfig::parse(&read(&vae)?, &shown(&vae))?;
        let scheduler = "scheduler/scheduler_config.json";
        let scheduler =
            SchedulerConfig::from_json(&String::from_utf8_lossy(&read(scheduler)?)).map_err(
                |error| ModelError::Invalid { file: shown(scheduler), reason: error.to_string() },
            )?;
        // the other families' pipelines leave them as they are
        let (denoiser, scheduler) = match *family == STABLE_DIFFUSION {
            true => (denoiser.corrected(), scheduler.corrected()),
            false => (denoiser, scheduler),
        };
        let no_prompt_is_zero = (family.no_prompt_is_zero)(&files)?;
        let (files, precision) = (Arc::new(files), DType::F32);
        let folder = Self {
            files,
            name,
            family,
            text_encoders,
            unet: denoiser,
            vae,
            scheduler,
            precision,
            no_prompt_is_zero,
        };
        folder.check_fit()?;
        Ok(folder)
    }

    fn check_fit(&self) -> Result<(), PipelineError> {
        let (unet, vae) = (&self.unet, &self.vae);
        let widths = self.embedding_widths();
        let positions = |encoder: &(_, Arc<dyn TextEncoderConfig>)| encoder.1.positions();
        let problem = if widths.total() != unet.cross_attention_dim {
            let encoders = match widths.0.len() {
                1 => "text encoder is",
                _ => "text encoders are",
            };
            format!("the {encoders} {widths} wide, the UNet wants {}", unet.cross_attention_dim)
        } else if self.text_encoders.iter().any(|e| positions(e) != self.text_length()) {
            "the text encoders take prompts of different lengths".into()
        } else if self.pooled_width() != unet.pooled_width() {
            let width = |width: Option<usize>| width.map_or("none".into(), |w| w.to_string());
            let (given, wanted) = (width(self.pooled_width()), width(unet.pooled_width()));
            format!("the text encoders' pooled state is {given} wide, the UNet wants {wanted}")
        } else if unet.in_channels != vae.latent_channels
            || unet.out_channels != vae.latent_channels
        {
            format!(
                "the autoencoder has {} latent channels, the UNet {} in and {} out",
                vae.latent_channels, unet.in_channels, unet.out_channels
            )
        } else if vae.in_channels != 3 || vae.out_channels != 3 {
            "the autoencoder must read and write 3 colour channels".into()
        } else {
            return Ok(());
        };
        Err(PipelineError::Mismatch { model: self.name.clone(), problem })
    }

    /// The same model under another beta schedule than its file names; `None` leaves the file's.
    ///
    /// LDM's published file says `linear`, its training code `scaled_linear`.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Scheduler`] if the betas make no noise schedule.
    pub fn with_beta_schedule(
        self,
        beta_schedule: Option<BetaSchedule>,
    ) -> Result<Self, PipelineError> {
        let Some(beta_schedule) = beta_schedule else { return Ok(self) };
        let scheduler = self.scheduler.with_beta_schedule(beta_schedule)?;
        Ok(Self { scheduler, ..self })
    }

    /// The same model, whose denoiser predicts something else than its file says; `None` leaves the
    /// file's.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Scheduler`] if the file's numbers make no noise schedule.
    pub fn with_prediction_type(
        self,
        prediction_type: Option<PredictionType>,
    ) -> Result<Self, PipelineError> {
        let Some(prediction_type) = prediction_type else { return Ok(self) };
        let scheduler = self.scheduler.with_prediction_type(prediction_type)?;
        Ok(Self { scheduler, ..self })
    }

    /// The same model, whose text encoder and denoiser will be loaded in `precision`: f32, f16 or
    /// bf16. The autoencoder stays in f32, because its activations leave f16's range.
    #[must_use]
    pub fn with_precision(self, precision: DType) -> Self {
        Self { precision, ..self }
    }

    /// Checks that a device, which messages call `name`, computes in the model's precision.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Precision`] if it does not.
    pub fn check_precision(&self, device: &Device, name: &str) -> Result<(), PipelineError> {
        if computes_in(device, self.precision) {
            return Ok(());
        }
        let instead = match self.precision {
            DType::BF16 if computes_in(device, DType::F16) => "fp16",
            DType::F16 if computes_in(device, DType::BF16) => "bf16",
            _ => "no",
        };
        Err(PipelineError::Precision {
            device: name.into(),
            precision: self.precision.name(),
            instead,
        })
    }

    /// The family that the model is of.
    pub fn family(&self) -> &'static ModelFamily {
        self.family
    }

    /// How the model is named in messages: its path, or the embedded default's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model's files.
    pub fn files(&self) -> &dyn ModelSource {
        &*self.files
    }

    /// Width of a learned vector, for each text encoder.
    pub fn embedding_widths(&self) -> EmbeddingWidths {
        let encoders = self.text_encoders.iter();
        let widths = encoders.map(|(part, config)| (part.key.map(String::from), config.width()));
        EmbeddingWidths(widths.collect())
    }

    /// Tokens of every prompt, padded.
    pub fn text_length(&self) -> usize {
        self.text_encoders.first().map_or(0, |(_, config)| config.positions())
    }

    /// Width of the pooled states of all text encoders that give one.
    fn pooled_width(&self) -> Option<usize> {
        let widths = self.text_encoders.iter().filter_map(|(_, config)| config.pooled_width());
        widths.reduce(|sum, width| sum + width)
    }

    /// The scheduler that the folder names, and its noise schedule.
    pub fn scheduler(&self) -> &SchedulerConfig {
        &self.scheduler
    }

    /// The denoiser's sizes.
    pub fn unet_config(&self) -> &UNet2DConditionConfig {
        &self.unet
    }

    /// The autoencoder's sizes.
    pub fn vae_config(&self) -> &AutoencoderKlConfig {
        &self.vae
    }

    /// Height and width of the pictures the model was trained on.
    pub fn native_resolution(&self) -> usize {
        let latents = self.unet.sample_size;
        latents.map(|size| size * self.vae.downscale()).or(self.vae.sample_size).unwrap_or(512)
    }

    /// What the sides of pictures that keep their proportions are multiples of, at a resolution.
    ///
    /// With it, all levels of the denoiser halve evenly: the 64 pixels that other trainers take for
    /// Stable Diffusion. The denoiser takes other latents too, so that a resolution with too few such
    /// steps, where much would be cut off, has smaller ones.
    pub fn side_multiple(&self, resolution: usize) -> usize {
        let least = self.vae.downscale();
        let levels = self.unet.block_out_channels.len();
        let mut multiple = least << (levels - 1);
        while multiple > least && multiple * STEPS > resolution {
            multiple /= 2;
        }
        multiple
    }

    /// Checks that pictures of this size, in pixels, become whole latents.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Size`] if a side is 0, over 2048 or no multiple of what the autoencoder shrinks by.
    pub fn check_size(&self, width: usize, height: usize) -> Result<(), PipelineError> {
        check_size([width, height], self.vae.downscale())
    }

    /// The tokenizers, without learned tokens.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if a file is missing or broken, or a tokenizer knows more tokens than its
    /// text encoder.
    pub fn tokenizers(&self) -> Result<PromptTokenizers, PipelineError> {
        let tokenizers = self.text_encoders.iter().map(|(part, config)| {
            let tokenizer = (part.vocabulary)(self.files(), part.tokenizer)?;
            let (entries, vocab_size) = (tokenizer.vocab_size(), config.vocab_size());
            if entries > vocab_size {
                let problem =
                    format!("the tokenizer has {entries} entries, the text encoder {vocab_size}");
                return Err(PipelineError::Mismatch { model: self.name.clone(), problem });
            }
            Ok(tokenizer.with_positions(config.positions()))
        });
        tokenizers.collect::<Result<_, _>>().map(PromptTokenizers::new)
    }

    /// Loads the text encoders, for what these tokenizers read.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if a file is missing or broken, or the device lacks the model's precision.
    pub fn load_prompt_encoder(
        &self,
        tokenizers: PromptTokenizers,
        device: &Device,
    ) -> Result<PromptEncoder, PipelineError> {
        self.check_precision(device, "this device")?;
        let encoders = self
            .text_encoders
            .iter()
            .map(|(part, config)| config.load(self.files(), part.folder, self.precision, device));
        let encoders = encoders.collect::<Result<_, ModelError>>()?;
        Ok(PromptEncoder::new(self.family, tokenizers, encoders, self.no_prompt_is_zero))
    }

    /// Loads the denoiser.
    ///
    /// # Errors
    ///
    /// Those of [`load_prompt_encoder`](Self::load_prompt_encoder).
    pub fn load_unet(&self, device: &Device) -> Result<UNet2DConditionModel, PipelineError> {
        self.check_precision(device, "this device")?;
        Ok(weights::load(self.unet.init(device), self.files(), "unet", self.precision)?)
    }

    /// Loads the autoencoder, in f32 whatever the model's precision.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if a file is missing or broken.
    pub fn load_vae(&self, device: &Device) -> Result<AutoencoderKl, PipelineError> {
        let folder = (self.family.vae)(self.files());
        Ok(weights::load(self.vae.init(device), self.files(), folder, DType::F32)?)
    }

    /// Whether the folder brings a CLIP scorer, in `clip/`.
    pub fn has_clip(&self) -> bool {
        self.files.has("clip/config.json")
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use dvar_models::weights::Memory;

    use super::*;

    #[test]
    fn what_draws_from_more_than_texts_is_told_by_its_denoiser() {
        let refused = |class_name: &str, unet: &str| {
            let index = format!(r#"{{"_class_name": "{class_name}"}}"#);
            let files = [("model_index.json", index), ("unet/config.json", unet.into())];
            let files = files.map(|(name, text)| (name.to_string(), Cow::Owned(text.into_bytes())));
            ModelFolder::new(Memory(files.into()), "model".into()).unwrap_err().to_string()
        };
        let inpainting = r#"{"in_channels": 9}"#;
        for (class_name, unet, told) in [
            (
                "StableDiffusionXLImg2ImgPipeline",
                r#"{"cross_attention_dim": 1280}"#,
                "text_encoder = none (SDXL's refiner)",
            ),
            ("StableDiffusionPipeline", inpainting, "in_channels = 9 (an inpainting model)"),
            ("StableDiffusionXLInpaintPipeline", inpainting, "in_channels = 9 (an inpainting"),
            ("StableDiffusionPipeline", r#"{"in_channels": 8}"#, "in_channels = 8 (an editing"),
        ] {
            let refused = refused(class_name, unet);
            assert!(refused.contains(told), "{refused}");
        }
    }
}
