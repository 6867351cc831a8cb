//! What a file of tensors is, by their names and shapes.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{tokenizer::openai_clip, weights::Memory};

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

/// Models that are read from one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Stable Diffusion 1.x.
    StableDiffusion1,
    /// Stable Diffusion 2.x, which predicts the velocity unless the file says otherwise.
    StableDiffusion2,
    /// Stable Diffusion 2.x base, for 512 pixels, which predicts the noise.
    StableDiffusion2Base,
}

/// The configurations of a kind.
struct Configs {
    text_encoder: &'static str,
    unet: &'static str,
    scheduler: &'static str,
    special_tokens: &'static str,
}

impl Kind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::StableDiffusion1 => "Stable Diffusion 1.x",
            Self::StableDiffusion2 => "Stable Diffusion 2.x",
            Self::StableDiffusion2Base => "Stable Diffusion 2.x base",
        }
    }

    fn configs(self) -> Configs {
        match self {
            Self::StableDiffusion1 => Configs {
                text_encoder: include_str!("configs/sd-v1/text_encoder.json"),
                unet: include_str!("configs/sd-v1/unet.json"),
                scheduler: include_str!("configs/sd-v1/scheduler.json"),
                special_tokens: r#"{ "pad_token": "<|endoftext|>" }"#,
            },
            Self::StableDiffusion2 => Configs {
                text_encoder: include_str!("configs/sd-v2/text_encoder.json"),
                unet: include_str!("configs/sd-v2/unet.json"),
                scheduler: include_str!("configs/sd-v2/scheduler.json"),
                special_tokens: r#"{ "pad_token": "!" }"#,
            },
            Self::StableDiffusion2Base => Configs {
                unet: include_str!("configs/sd-v2/unet_base.json"),
                scheduler: include_str!("configs/sd-v2/scheduler_base.json"),
                ..Self::StableDiffusion2.configs()
            },
        }
    }

    /// The files of a folder of this kind but its weights: configurations and CLIP's tokenizer.
    pub fn files(self) -> Memory {
        let configs = self.configs();
        let text = [
            ("model_index.json", include_str!("configs/model_index.json")),
            ("text_encoder/config.json", configs.text_encoder),
            ("unet/config.json", configs.unet),
            ("vae/config.json", include_str!("configs/vae.json")),
            ("scheduler/scheduler_config.json", configs.scheduler),
            ("tokenizer/merges.txt", openai_clip::MERGES),
            ("tokenizer/special_tokens_map.json", configs.special_tokens),
        ];
        let mut files: BTreeMap<String, Cow<'static, [u8]>> =
            text.map(|(file, text)| (file.into(), Cow::Borrowed(text.as_bytes()))).into();
        let vocab = openai_clip::vocab_json().into_bytes();
        files.insert("tokenizer/vocab.json".into(), Cow::Owned(vocab));
        Memory(files)
    }

    /// The kind of a file, or in words what else it is.
    pub(super) fn of(
        shapes: &Shapes,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, &'static str> {
        if let Some((_, what)) = OTHERS.iter().find(|(is, _)| is(shapes)) {
            return Err(what);
        }
        let has = |prefix: &str| has(shapes, prefix);
        if has(UNET) && has(VAE) && has(CLIP) {
            return Ok(Self::StableDiffusion1);
        }
        if has(UNET) && has(VAE) && has(OPEN_CLIP) {
            let prediction = metadata.get("modelspec.prediction_type").map(String::as_str);
            return Ok(match prediction {
                Some("epsilon") => Self::StableDiffusion2Base,
                _ => Self::StableDiffusion2,
            });
        }
        Err("it holds no whole Stable Diffusion model in the original names; give a checkpoint \
             with denoiser, autoencoder and text encoder")
    }
}

/// Whether a file is of another kind, and how a message names it.
type Other = (fn(&Shapes) -> bool, &'static str);

/// What people have under such a name, the first that fits.
const OTHERS: [Other; 12] = [
    (is_lora, "it is a LoRA, which changes a model and is none; give the model itself"),
    (is_embedding, "it is a learned embedding and no model; give the model that it is for"),
    (
        |s| has(s, "control_model.") || has(s, "input_hint_block."),
        "it is a ControlNet, which guides a model and is none; give the model itself",
    ),
    (
        |s| holds(s, ".absmax") || holds(s, ".quant_state."),
        "its weights are quantised (NF4 or the like), which dvar does not train on; give the f16 or f32 file",
    ),
    (
        |s| has(s, "double_blocks.") || holds(s, "diffusion_model.double_blocks."),
        "it is a Flux model, which dvar does not know; give one of Stable Diffusion 1.x or 2.x",
    ),
    (
        |s| has(s, "joint_blocks.") || holds(s, "diffusion_model.joint_blocks."),
        "it is a Stable Diffusion 3 model, which dvar does not know; give one of Stable Diffusion 1.x or 2.x",
    ),
    (
        |s| has(s, "conditioner.embedders.1."),
        "it is an SDXL model, which dvar does not read yet; give one of Stable Diffusion 1.x or 2.x",
    ),
    (
        |s| has(s, "conditioner.embedders.0."),
        "it is SDXL's refiner, which draws no concept by itself; give one of Stable Diffusion 1.x or 2.x",
    ),
    (
        is_inpainting,
        "its denoiser takes more than noisy latents (inpainting or editing), which dvar does not train; give a text-to-image model",
    ),
    (
        |s| has(s, "down_blocks.") || has(s, "text_model."),
        "it is one part of a model in diffusers' layout; give the folder of the whole model",
    ),
    (
        |s| has(s, UNET) && !has(s, VAE),
        "it has no autoencoder (`first_stage_model.`); give the whole checkpoint",
    ),
    (|s| has(s, VAE) && !has(s, UNET), "it is an autoencoder alone; give the whole checkpoint"),
];

fn has(shapes: &Shapes, prefix: &str) -> bool {
    let next = shapes.range(prefix.to_string()..).next();
    next.is_some_and(|(name, _)| name.starts_with(prefix))
}

fn holds(shapes: &Shapes, part: &str) -> bool {
    shapes.keys().any(|name| name.contains(part))
}

fn is_lora(shapes: &Shapes) -> bool {
    let parts = ["lora_up", "lora_down", "lora_A.", "lora_B.", "lora.up", "lora.down", ".hada_w1_"];
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
