//! Whole models in one file, as they are trained and passed on: the tensors of all parts under the
//! names of the original code (CompVis, Stability AI), no configuration, no tokenizer.
//!
//! A [`SingleFile`] reads as the folder in diffusers' layout that would hold the same model: its
//! configurations and CLIP's tokenizer are in the program, its tensors are renamed while they are
//! read, one at a time. The file is opened once, so that all parts are of the file that was checked;
//! what a part does not need is never read.

mod beside;
mod fast;
mod files;
mod kind;
mod names;
mod open_clip;
mod unet;
mod vae;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

pub use self::kind::Kind;
pub use self::unet::UNetNames;
use self::{
    beside::{CALLED_VELOCITY, is_called_velocity},
    fast::{CALLED_FAST, TITLED_FAST, is_fast},
    kind::{CLIP, OPEN_CLIP, UNET, VAE, XL_CLIP, XL_OPEN_CLIP},
    open_clip::{OpenClipNames, PROJECTION},
    vae::VaeNames,
};
#[doc(hidden)] // shared with the package `dvar`
pub use self::{fast::doubt_of_name, kind::IS_LORA};
use crate::{
    ModelError,
    clip::ClipTextConfig,
    weights::{Memory, ModelSource, Tensors, Weights},
};

/// The averaged copy of the denoiser that some trainers leave; its names have lost their dots.
const EMA: &str = "model_ema.diffusion_model";

/// A whole model in one file.
#[derive(Debug)]
pub struct SingleFile {
    tensors: Tensors,
    kind: Kind,
    files: Memory,
    names: BTreeSet<String>,
    ema: bool,
    doubt: Option<&'static str>,
}

impl SingleFile {
    /// Opens `file` of `source` and finds out what it is; what it predicts may be told by a configuration of
    /// the original code beside it, `model.yaml` beside `model.safetensors`.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if it cannot be read, or is no model that is read from one file: what it is.
    pub fn open(source: &impl ModelSource, file: &str) -> Result<Self, ModelError> {
        let invalid = |reason: &str| ModelError::Invalid {
            file: source.display(file),
            reason: reason.into(),
        };
        let Weights::Stored(tensors) = source.weights(file)? else {
            return Err(invalid("its weights are random numbers"));
        };
        let shapes = tensors.shapes();
        let mut metadata = tensors.metadata().clone();
        if let Some(prediction) = beside::prediction(source, file)? {
            metadata.insert(kind::PREDICTION.into(), prediction.into());
        }
        let kind = Kind::of(&shapes, &metadata);
        // of such a model, often nothing tells but what the file is called
        let kind = if is_fast(file) { kind.and(Err(CALLED_FAST)) } else { kind };
        let mut kind = kind.map_err(invalid)?;
        tensors.check_types()?;
        if kind == Kind::StableDiffusion2
            && kind::predicts_velocity(&shapes, &metadata).is_none()
            && tensors.values(kind::TELLING)?.is_some_and(|bias| kind::predicts_noise(&bias))
        {
            kind = Kind::StableDiffusion2Base;
        }
        let predicts_noise = matches!(kind, Kind::StableDiffusion1 | Kind::StableDiffusionXl);
        let untold = predicts_noise && kind::predicts_velocity(&shapes, &metadata).is_none();
        let doubt = match metadata.get("modelspec.title") {
            Some(title) if is_fast(title) => Some(TITLED_FAST),
            _ if untold && is_called_velocity(file) => Some(CALLED_VELOCITY),
            _ => doubt_of_name(file),
        };
        let names = shapes.into_keys().collect();
        Ok(Self { tensors, kind, files: kind.files(), names, ema: false, doubt })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to say beside its kind, where its title or its name tells of another. Authors take any words for a
    /// title, and whoever has the file cannot change them as its name: no model is refused for them.
    pub fn doubt(&self) -> Option<&'static str> {
        self.doubt
    }

    /// How many numbers its denoiser, autoencoder and text encoders have.
    pub fn values(&self) -> u64 {
        let parts = [UNET, VAE, CLIP, OPEN_CLIP, XL_CLIP, XL_OPEN_CLIP];
        let shapes = self.tensors.shapes().into_iter();
        let shapes = shapes.filter(|(name, _)| parts.iter().any(|part| name.starts_with(part)));
        // by more bits than a browser counts its memory with
        shapes.map(|(_, shape)| shape.iter().map(|side| *side as u64).product::<u64>()).sum()
    }

    /// The same weights with other configurations than those published for the kind.
    #[must_use]
    pub fn with_files(self, files: Memory) -> Self {
        Self { files, ..self }
    }

    /// The averaged weights (EMA) of the denoiser in place of the last ones.
    ///
    /// # Errors
    ///
    /// [`ModelError::Invalid`] if the file holds none.
    pub fn with_ema(self) -> Result<Self, ModelError> {
        if self.names.iter().any(|name| name.starts_with(EMA)) {
            return Ok(Self { ema: true, ..self });
        }
        let reason = "it holds no averaged weights (`model_ema.`); read it without".into();
        Err(ModelError::Invalid { file: self.tensors.file().into(), reason })
    }

    /// The names that begin with `prefix`, without it.
    fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.names.iter().filter_map(move |name| name.strip_prefix(prefix))
    }

    /// Layers of the text encoder, by its configuration.
    fn text_layers(&self) -> Result<usize, ModelError> {
        let file = "text_encoder/config.json";
        let config = ClipTextConfig::parse(&self.read(file)?, &self.display(file))?;
        Ok(config.num_hidden_layers)
    }

    /// The denoiser's tensors; those that diffusers does not know keep their names, so that they
    /// are told of.
    fn unet(&self, tensors: Tensors) -> Tensors {
        let names = UNetNames::read(self.names(UNET));
        let translate = |name: &str| names.translate(name).unwrap_or_else(|| name.into());
        if !self.ema {
            return tensors
                .renamed(|name| name.strip_prefix(UNET).map(translate).into_iter().collect());
        }
        let averaged = self.names(UNET).map(|name| (name.replace('.', ""), translate(name)));
        let averaged: BTreeMap<String, String> = averaged.collect();
        tensors.renamed(|name| {
            let averaged = name.strip_prefix(EMA).and_then(|name| averaged.get(name));
            averaged.cloned().into_iter().collect()
        })
    }
}

impl ModelSource for SingleFile {
    fn display(&self, file: &str) -> String {
        format!("{file} of {}", self.kind.name())
    }

    fn has(&self, file: &str) -> bool {
        self.files.has(file)
    }

    fn read(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        self.files.read(file)
    }

    fn weights(&self, part: &str) -> Result<Weights, ModelError> {
        let tensors = self.tensors.clone();
        Ok(Weights::Stored(match part {
            "unet" => self.unet(tensors),
            "vae" => {
                let names = VaeNames::read(self.names(VAE));
                tensors.renamed(|name| {
                    // of the autoencoder's own training: its discriminator, and what it was averaged by
                    let left =
                        |name: &&str| ["loss.", "model_ema."].iter().any(|of| name.starts_with(of));
                    let name = name.strip_prefix(VAE).filter(|name| !left(name));
                    let name =
                        name.map(|name| names.translate(name).unwrap_or_else(|| name.into()));
                    name.into_iter().collect()
                })
            }
            "text_encoder" if self.kind.is_xl() => clip(tensors, XL_CLIP),
            "text_encoder_2" if self.kind.is_xl() => {
                let projection = format!("{XL_OPEN_CLIP}{PROJECTION}");
                open_clip(tensors.transposed(&projection), XL_OPEN_CLIP, OpenClipNames::whole())
            }
            "text_encoder" if self.kind.is_first() => clip(tensors, CLIP),
            "text_encoder" => {
                open_clip(tensors, OPEN_CLIP, OpenClipNames::of_layers(self.text_layers()?))
            }
            _ => return self.files.weights(part),
        }))
    }
}

/// A tower of CLIP, whose names are transformers' behind `prefix`.
fn clip(tensors: Tensors, prefix: &str) -> Tensors {
    tensors.renamed(|name| name.strip_prefix(prefix).map(String::from).into_iter().collect())
}

/// A tower of OpenCLIP behind `prefix`.
fn open_clip(tensors: Tensors, prefix: &str, names: OpenClipNames) -> Tensors {
    let translate = |name: &str| Some(names.translate(name.strip_prefix(prefix)?));
    tensors.renamed(|name| translate(name).unwrap_or_default())
}
