//! What a file of tensors is, by their names and shapes.

use std::collections::BTreeMap;

use super::fast::{FAST, is_fast};
use crate::weights::torch::IS_EMBEDDING;

/// Shapes by name.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

/// The denoiser's tensors.
pub(super) const UNET: &str = "model.diffusion_model.";
/// The autoencoder's tensors.
pub(super) const VAE: &str = "first_stage_model.";
/// The tensors of CLIP's text tower.
pub(super) const CLIP: &str = "cond_stage_model.transformer.";

/// The tensors of OpenCLIP's text tower.
pub(super) const OPEN_CLIP: &str = "cond_stage_model.model.";

/// The tensors of SDXL's first text encoder, CLIP's tower.
pub(super) const XL_CLIP: &str = "conditioner.embedders.0.transformer.";
/// The tensors of SDXL's second text encoder, OpenCLIP's tower.
pub(super) const XL_OPEN_CLIP: &str = "conditioner.embedders.1.model.";

/// The empty tensor by which AUTOMATIC1111 knows a model without signal at its last timestep, and ComfyUI one of
/// SDXL.
const ZERO_SNR: &str = "ztsnr";
/// The empty tensor by which ComfyUI marks a model of the velocity.
const VELOCITY: &str = "v_pred";

/// Models that are read from one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Stable Diffusion 1.x, which predicts the noise unless the file says otherwise.
    StableDiffusion1,
    /// The same, trained on to predict the velocity.
    StableDiffusion1Velocity,
    /// The same, with no signal left at the last timestep (zero terminal SNR).
    StableDiffusion1ZeroSnr,
    /// Stable Diffusion 2.x, which predicts the velocity.
    StableDiffusion2,
    /// Stable Diffusion 2.x base, for 512 pixels, which predicts the noise.
    StableDiffusion2Base,
    /// Stable Diffusion XL base, which predicts the noise unless the file says otherwise.
    StableDiffusionXl,
    /// The same, trained on to predict the velocity.
    StableDiffusionXlVelocity,
    /// The same, with no signal left at the last timestep (zero terminal SNR).
    StableDiffusionXlZeroSnr,
}

impl Kind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::StableDiffusion1 => "Stable Diffusion 1.x",
            Self::StableDiffusion1Velocity => "Stable Diffusion 1.x by velocity",
            Self::StableDiffusion1ZeroSnr => {
                "Stable Diffusion 1.x by velocity with zero terminal SNR"
            }
            Self::StableDiffusion2 => "Stable Diffusion 2.x",
            Self::StableDiffusion2Base => "Stable Diffusion 2.x base",
            Self::StableDiffusionXl => "Stable Diffusion XL",
            Self::StableDiffusionXlVelocity => "Stable Diffusion XL by velocity",
            Self::StableDiffusionXlZeroSnr => {
                "Stable Diffusion XL by velocity with zero terminal SNR"
            }
        }
    }

    /// Whether it is Stable Diffusion 1.x.
    pub(super) fn is_first(self) -> bool {
        matches!(
            self,
            Self::StableDiffusion1 | Self::StableDiffusion1Velocity | Self::StableDiffusion1ZeroSnr
        )
    }

    /// Whether it is SDXL.
    pub(super) fn is_xl(self) -> bool {
        matches!(
            self,
            Self::StableDiffusionXl
                | Self::StableDiffusionXlVelocity
                | Self::StableDiffusionXlZeroSnr
        )
    }

    /// The kind of a file, or in words what else it is.
    pub(super) fn of(
        shapes: &Shapes,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, &'static str> {
        if let Some((_, what)) = OTHERS.iter().find(|(is, _)| is(shapes)) {
            return Err(what);
        }
        if metadata.get("modelspec.architecture").is_some_and(|name| is_fast(name)) {
            return Err(FAST);
        }
        let has = |prefix: &str| has(shapes, prefix);
        let velocity = predicts_velocity(shapes, metadata);
        let zero_snr = shapes.contains_key(ZERO_SNR);
        if zero_snr && !(velocity == Some(true) && (has(CLIP) || has(XL_CLIP))) {
            return Err(
                "it was trained with zero terminal SNR, which dvar supports with Stable Diffusion 1.x and XL by \
                 velocity (`v_pred`) alone; give a model without it",
            );
        }
        if has(UNET) && has(VAE) && has(CLIP) {
            return Ok(match velocity {
                Some(true) if zero_snr => Self::StableDiffusion1ZeroSnr,
                Some(true) => Self::StableDiffusion1Velocity,
                _ => Self::StableDiffusion1,
            });
        }
        if has(UNET) && has(VAE) && has(OPEN_CLIP) {
            return Ok(match velocity {
                Some(false) => Self::StableDiffusion2Base,
                _ => Self::StableDiffusion2,
            });
        }
        if has(UNET) && has(VAE) && has(XL_CLIP) && has(XL_OPEN_CLIP) {
            return Ok(match velocity {
                Some(true) if zero_snr => Self::StableDiffusionXlZeroSnr,
                Some(true) => Self::StableDiffusionXlVelocity,
                _ => Self::StableDiffusionXl,
            });
        }
        Err("it holds no whole Stable Diffusion model in the original names; give a checkpoint \
             with denoiser, autoencoder and text encoder")
    }
}

/// A bias of the denoiser by which ComfyUI and Forge tell what a model of Stable Diffusion 2 predicts.
pub(super) const TELLING: &str =
    "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";

/// Whether a model with this [`TELLING`] bias predicts the noise: those of the velocity have values farther
/// apart.
pub(super) fn predicts_noise(bias: &[f32]) -> bool {
    const WIDEST: f64 = 0.09;
    let mean_of = |value: &dyn Fn(f64) -> f64| {
        bias.iter().map(|bias| value(f64::from(*bias))).sum::<f64>() / bias.len() as f64
    };
    let mean = mean_of(&|value| value);
    mean_of(&|value| (value - mean).powi(2)).sqrt() <= WIDEST
}

/// ModelSpec's key for what is predicted.
pub(super) const PREDICTION: &str = "modelspec.prediction_type";

/// Whether the velocity is predicted or the noise, where a file says it.
pub(super) fn predicts_velocity(
    shapes: &Shapes,
    metadata: &BTreeMap<String, String>,
) -> Option<bool> {
    // what ComfyUI writes in its place
    let told = [PREDICTION, "modelspec.predict_key"];
    let told = told.iter().find_map(|key| match metadata.get(*key)?.as_str() {
        "v" | "v_prediction" => Some(true),
        "epsilon" => Some(false),
        _ => None,
    });
    told.or(shapes.contains_key(VELOCITY).then_some(true))
}

/// Whether a file is of another kind, and how a message names it.
type Other = (fn(&Shapes) -> bool, &'static str);

/// What people have under such a name, the first that fits.
const OTHERS: [Other; 20] = [
    (is_lora, IS_LORA),
    (is_embedding, IS_EMBEDDING),
    (
        |s| {
            let begins = ["control_model.", "input_hint_block.", "controlnet_"];
            begins.iter().any(|prefix| has(s, prefix))
        },
        "it is a ControlNet, which guides a model and is none; give the model itself",
    ),
    (
        |s| holds(s, ".absmax") || holds(s, ".quant_state."),
        "its weights are quantised (NF4 or the like), which dvar does not train on; give the f16 or f32 file",
    ),
    (
        |s| has(s, "double_blocks.") || holds(s, "diffusion_model.double_blocks."),
        "it is a Flux model, which dvar does not know; give one of Stable Diffusion 1.x, 2.x or XL",
    ),
    (
        |s| has(s, "joint_blocks.") || holds(s, "diffusion_model.joint_blocks."),
        "it is a Stable Diffusion 3 model, which dvar does not know; give one of Stable Diffusion 1.x, 2.x or XL",
    ),
    (
        |s| {
            // of the width of Stable Diffusion 2's text encoder
            s.get("conditioner.embedders.0.model.ln_final.weight").is_some_and(|n| *n == [1024])
        },
        "it is Stable Diffusion 2 in the names of SDXL's code, as SD-Turbo is passed on; give one in its own names or in diffusers' layout that was not made to draw in a few steps",
    ),
    (
        |s| has(s, "conditioner.embedders.0.model.") && !has(s, "conditioner.embedders.1."),
        "it is SDXL's refiner, which draws no concept by itself; give SDXL's base model",
    ),
    (
        |s| s.contains_key("clf.1.weight") || s.contains_key("model.diffusion_model.clf.1.weight"),
        "it is Stable Cascade, which dvar does not know; give a model of Stable Diffusion 1.x, 2.x or XL",
    ),
    (
        |s| holds(s, ".motion_modules.") || holds(s, ".time_stack."),
        "it is for videos (AnimateDiff, Stable Video Diffusion), which dvar does not train; give a text-to-image model",
    ),
    (
        |s| has(s, "cond_stage_model.transformer.token_emb."),
        "it is LDM text-to-image in the original names, which dvar reads in diffusers' layout alone; give `CompVis/ldm-text2im-large-256` by its name on the Hub, or its folder",
    ),
    (
        |s| ["edm_mean", "edm_std", "edm_vpred.sigma_max"].iter().any(|key| s.contains_key(*key)),
        "it is an EDM model (such as Playground 2.5), which dvar does not know; give SDXL's base model or one trained from it",
    ),
    (
        |s| has(s, "noise_augmentor.") || has(s, "embedder.model."),
        "it is Stable Diffusion 2's unCLIP, which draws from a picture; give a text-to-image model",
    ),
    (
        |s| {
            let denoiser = |part: &str| has(s, &format!("{UNET}{part}"));
            has(s, XL_OPEN_CLIP) && denoiser("input_blocks.1.") && !denoiser("middle_block.1.")
        },
        "it was cut out of SDXL (SSD-1B, Segmind Vega or KOALA), which dvar does not know; give SDXL's base model or one trained from it",
    ),
    (|s| has(s, "model.diffusion_model.time_embed.cond_proj."), FAST),
    (
        is_inpainting,
        "its denoiser takes more than noisy latents (inpainting or editing), which dvar does not train; give a text-to-image model",
    ),
    (
        // under the original names, as a part of a whole model or by itself, or under diffusers'
        |s| {
            let alone = has(s, "encoder.conv_in.") && has(s, "decoder.conv_in.");
            alone || (has(s, VAE) && !has(s, UNET))
        },
        "it is an autoencoder alone; give the whole checkpoint",
    ),
    (
        |s| holds(s, ".down_blocks.") || holds(s, ".up_blocks."),
        "some of its names are diffusers' (it is half converted, or several parts in one); give the original file or the folder in diffusers' layout",
    ),
    (
        |s| has(s, "down_blocks.") || has(s, "text_model."),
        "it is one part of a model in diffusers' layout; give the folder of the whole model",
    ),
    (
        |s| has(s, UNET) && !has(s, VAE),
        "it has no autoencoder (`first_stage_model.`); give the whole checkpoint",
    ),
];

/// What is said of a LoRA.
pub const IS_LORA: &str = "it is a LoRA, which changes a model and is none; give the model itself";

fn has(shapes: &Shapes, prefix: &str) -> bool {
    let next = shapes.range(prefix.to_string()..).next();
    next.is_some_and(|(name, _)| name.starts_with(prefix))
}

fn holds(shapes: &Shapes, part: &str) -> bool {
    shapes.keys().any(|name| name.contains(part))
}

fn is_lora(shapes: &Shapes) -> bool {
    let parts = [
        "lora_up",
        "lora_down",
        "lora_A.",
        "lora_B.",
        "lora.up",
        "lora.down",
        ".hada_w1_",
        ".lokr_w1",
        ".diff_b",
    ];
    parts.iter().any(|part| holds(shapes, part))
}

/// A handful of matrices of a text encoder's width.
fn is_embedding(shapes: &Shapes) -> bool {
    let narrow = |shape: &Vec<usize>| shape.len() <= 2 && shape.first().is_some_and(|n| *n <= 2048);
    (1..=4).contains(&shapes.len()) && shapes.values().all(narrow)
}

fn is_inpainting(shapes: &Shapes) -> bool {
    let first = shapes.get(&format!("{UNET}input_blocks.0.0.weight"));
    first.is_some_and(|shape| shape.get(1).is_some_and(|inputs| *inputs != 4))
}

#[cfg(test)]
mod tests;
