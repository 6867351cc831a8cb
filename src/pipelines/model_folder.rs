//! A Stable Diffusion 1.x or LDM folder in diffusers' layout: read and checked first, loaded part by
//! part when a part is needed, so that none stays in memory longer than it must.

use std::path::Path;

use burn::tensor::{DType, Device};
use dvar_models::{
    ModelError,
    tokenizer::{PromptTokenizer, TokenizerError},
    unet::{UNet2DConditionConfig, UNet2DConditionModel},
    vae::{AutoencoderKl, AutoencoderKlConfig},
    weights::{self, ModelFiles},
};
use serde::Deserialize;

use super::{ModelFamily, PromptEncoder, text_encoder::TextEncoderConfig};
use crate::schedulers::{BetaSchedule, SchedulerConfig, SchedulerError};
use crate::tensor::DeviceError;

/// Why a model folder or a prompt could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A file of the model is missing or broken.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The scheduler's configuration, or what was asked of it, makes no sense.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// The tokenizer's files are broken, or the placeholder cannot be a token.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The parts of the folder do not fit each other.
    #[error("the parts of `{model}` do not fit: {problem}")]
    Mismatch {
        /// The folder.
        model: String,
        /// Which parts.
        problem: String,
    },
    /// A width or height that the model cannot draw.
    #[error(
        "cannot draw {width} x {height} pixels; both must be multiples of {multiple}, up to 2048"
    )]
    Size {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
        /// What both must be a multiple of.
        multiple: usize,
    },
    /// A type that the device does not compute in.
    #[error("{device} does not compute in {precision}; take `--mixed-precision {instead}`")]
    Precision {
        /// Which device.
        device: String,
        /// The type.
        precision: &'static str,
        /// What it computes in.
        instead: &'static str,
    },
    /// Pictures that cannot be compared.
    #[error("the pictures cannot be compared: {0}")]
    Pictures(String),
    /// The device failed while a result was read from it.
    #[error("{0}")]
    Device(#[from] DeviceError),
    /// Whoever watches a drawing ended it.
    #[error("the drawing was ended: {0}")]
    Ended(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Deserialize)]
struct ModelIndex {
    #[serde(rename = "_class_name")]
    class_name: String,
}

/// A model folder with its configurations, all checked; weights are yet to be loaded.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    files: ModelFiles,
    name: String,
    family: ModelFamily,
    text_encoder: TextEncoderConfig,
    unet: UNet2DConditionConfig,
    vae: AutoencoderKlConfig,
    scheduler: SchedulerConfig,
    precision: DType,
}

impl ModelFolder {
    /// Opens a folder on disk.
    pub fn open(folder: &Path) -> Result<Self, PipelineError> {
        Self::new(ModelFiles::Folder(folder.to_path_buf()), folder.display().to_string())
    }

    /// Reads and checks every configuration.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] where a file is missing or broken, or the parts do not fit each other.
    pub fn new(files: ModelFiles, name: String) -> Result<Self, PipelineError> {
        let read = |file: &str| files.read(file);
        let shown = |file: &str| files.display(file);
        let family = read_family(&files)?;
        let text_encoder = TextEncoderConfig::read(family, &files, family.text_encoder(&files))?;
        let (unet, vae) = ("unet/config.json", format!("{}/config.json", family.vae(&files)));
        let unet = UNet2DConditionConfig::parse(&read(unet)?, &shown(unet))?;
        let vae = AutoencoderKlConfig::parse(&read(&vae)?, &shown(&vae))?;
        let scheduler = "scheduler/scheduler_config.json";
        let scheduler =
            SchedulerConfig::from_json(&String::from_utf8_lossy(&read(scheduler)?)).map_err(
                |error| ModelError::Invalid { file: shown(scheduler), reason: error.to_string() },
            )?;
        let precision = DType::F32;
        let folder = Self { files, name, family, text_encoder, unet, vae, scheduler, precision };
        folder.check_fit()?;
        Ok(folder)
    }

    fn check_fit(&self) -> Result<(), PipelineError> {
        let (text, unet, vae) = (&self.text_encoder, &self.unet, &self.vae);
        let problem = if text.width() != unet.cross_attention_dim {
            format!(
                "the text encoder is {} wide, the UNet wants {}",
                text.width(),
                unet.cross_attention_dim
            )
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
        if device.supports_dtype(self.precision) {
            return Ok(());
        }
        let instead = match self.precision {
            DType::BF16 if device.supports_dtype(DType::F16) => "fp16",
            DType::F16 if device.supports_dtype(DType::BF16) => "bf16",
            _ => "no",
        };
        Err(PipelineError::Precision {
            device: name.into(),
            precision: self.precision.name(),
            instead,
        })
    }

    /// The pipeline that the folder is for.
    pub fn family(&self) -> ModelFamily {
        self.family
    }

    /// How the model is named in messages: its path, or the embedded default's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder's files.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// Width of a learned vector.
    pub fn embedding_dim(&self) -> usize {
        self.text_encoder.width()
    }

    /// Tokens of every prompt, padded.
    pub fn text_length(&self) -> usize {
        self.text_encoder.positions()
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

    /// Checks that pictures of this size become whole latents.
    pub fn check_size(&self, width: usize, height: usize) -> Result<(), PipelineError> {
        let multiple = self.vae.downscale();
        let fits = |side: usize| (1..=2048).contains(&side) && side.is_multiple_of(multiple);
        if fits(width) && fits(height) {
            return Ok(());
        }
        Err(PipelineError::Size { width, height, multiple })
    }

    /// The tokenizer, without learned tokens.
    pub fn tokenizer(&self) -> Result<PromptTokenizer, PipelineError> {
        let tokenizer = read_tokenizer(&self.files, self.family, "tokenizer/")?;
        let vocab_size = self.text_encoder.vocab_size();
        if tokenizer.vocab_size() > vocab_size {
            return Err(PipelineError::Mismatch {
                model: self.name.clone(),
                problem: format!(
                    "the tokenizer has {} entries, the text encoder {vocab_size}",
                    tokenizer.vocab_size(),
                ),
            });
        }
        Ok(tokenizer.with_positions(self.text_encoder.positions()))
    }

    /// Loads the text encoder; `placeholder_ids` are what `tokenizer` gave the learned token.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] if a file is missing or broken, or the device lacks the model's precision.
    pub fn load_prompt_encoder(
        &self,
        tokenizer: PromptTokenizer,
        placeholder_ids: Vec<u32>,
        device: &Device,
    ) -> Result<PromptEncoder, PipelineError> {
        self.check_precision(device, "this device")?;
        let folder = self.family.text_encoder(&self.files);
        let text_encoder = self.text_encoder.load(&self.files, folder, self.precision, device)?;
        Ok(PromptEncoder::new(tokenizer, text_encoder, placeholder_ids))
    }

    /// Loads the denoiser.
    ///
    /// # Errors
    ///
    /// Those of [`load_prompt_encoder`](Self::load_prompt_encoder).
    pub fn load_unet(&self, device: &Device) -> Result<UNet2DConditionModel, PipelineError> {
        self.check_precision(device, "this device")?;
        Ok(weights::load(self.unet.init(device), &self.files, "unet", self.precision)?)
    }

    /// Loads the autoencoder.
    pub fn load_vae(&self, device: &Device) -> Result<AutoencoderKl, PipelineError> {
        let folder = self.family.vae(&self.files);
        Ok(weights::load(self.vae.init(device), &self.files, folder, DType::F32)?)
    }

    /// Whether the folder brings a CLIP scorer, in `clip/`.
    pub fn has_clip(&self) -> bool {
        self.files.has("clip/config.json")
    }
}

/// The family that `model_index.json` names, or the one that the sub-folders tell.
fn read_family(files: &ModelFiles) -> Result<ModelFamily, ModelError> {
    let Some(index) = files.read_optional("model_index.json")? else {
        return Ok(ModelFamily::from_files(files));
    };
    let file = files.display("model_index.json");
    let index: ModelIndex = serde_json::from_slice(&index)
        .map_err(|e| ModelError::Invalid { file: file.clone(), reason: e.to_string() })?;
    ModelFamily::from_class_name(&index.class_name).ok_or_else(|| ModelError::Unsupported {
        file,
        key: "_class_name".into(),
        value: format!("`{}`", index.class_name),
        supported: ModelFamily::class_names(),
    })
}

/// The tokenizer of the text encoder of `family` whose files' paths begin with `folder`.
pub(crate) fn read_tokenizer(
    files: &ModelFiles,
    family: ModelFamily,
    folder: &str,
) -> Result<PromptTokenizer, PipelineError> {
    let path = |name: &str| format!("{folder}{name}");
    let config = files.read_optional(&path("tokenizer_config.json"))?;
    let special = files.read_optional(&path("special_tokens_map.json"))?;
    let (config, special) = (config.as_deref(), special.as_deref());
    let vocab = |name: &str| files.read(&path(name));
    Ok(match family {
        ModelFamily::StableDiffusion => {
            PromptTokenizer::clip(&vocab("vocab.json")?, &vocab("merges.txt")?, config, special)?
        }
        ModelFamily::LatentDiffusion => {
            PromptTokenizer::bert(&vocab("vocab.txt")?, config, special)?
        }
    })
}
