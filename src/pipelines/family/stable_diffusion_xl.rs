//! Stable Diffusion XL base: two of CLIP's text encoders side by side, the second one's pooled state,
//! and the pictures' sizes (Podell et al. 2023).

use dvar_models::{ModelError, parse_json, weights::ModelSource};
use serde::Deserialize;

use super::{ModelFamily, TextEncoderPart};
use crate::pipelines::text_encoder::clip;

/// diffusers' `StableDiffusionXLPipeline`. The vectors are called as kohya, ComfyUI and AUTOMATIC1111
/// call them in files.
pub static STABLE_DIFFUSION_XL: ModelFamily = ModelFamily {
    name: "Stable Diffusion XL",
    class_name: "StableDiffusionXLPipeline",
    recognises: |source| source.has("text_encoder_2/config.json"),
    vae: |_| "vae",
    text_encoders: |_| {
        vec![
            TextEncoderPart {
                key: Some("clip_l"),
                folder: "text_encoder",
                tokenizer: "tokenizer",
                config: clip::penultimate,
                vocabulary: clip::tokenizer,
            },
            TextEncoderPart {
                key: Some("clip_g"),
                folder: "text_encoder_2",
                tokenizer: "tokenizer_2",
                config: clip::projected,
                vocabulary: clip::tokenizer,
            },
        ]
    },
    is_guided: |guidance_scale| guidance_scale > 1.0,
    no_prompt_is_zero: forces_zeros,
};

/// What `model_index.json` says; true where there is none, as in diffusers.
fn forces_zeros(source: &dyn ModelSource) -> Result<bool, ModelError> {
    const FILE: &str = "model_index.json";
    #[derive(Deserialize)]
    struct Index {
        force_zeros_for_empty_prompt: Option<bool>,
    }
    let Some(json) = source.read_optional(FILE)? else { return Ok(true) };
    let index: Index = parse_json(&json, &source.display(FILE))?;
    Ok(index.force_zeros_for_empty_prompt.unwrap_or(true))
}
