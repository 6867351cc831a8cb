//! Stable Diffusion 1.x and 2.x: CLIP's text encoder and tokenizer.

use super::{ModelFamily, TextEncoderPart};
use crate::pipelines::text_encoder::clip;

/// diffusers' `StableDiffusionPipeline`.
pub static STABLE_DIFFUSION: ModelFamily = ModelFamily {
    name: "Stable Diffusion",
    class_name: "StableDiffusionPipeline",
    recognises: |source| source.has("text_encoder/config.json"),
    vae: |_| "vae",
    text_encoders: |_| {
        vec![TextEncoderPart {
            key: None,
            folder: "text_encoder",
            tokenizer: "tokenizer",
            config: clip::config,
            vocabulary: clip::tokenizer,
        }]
    },
    is_guided: |guidance_scale| guidance_scale > 1.0,
    no_prompt_is_zero: |_| Ok(false),
};
