//! CompVis' text-to-image model before Stable Diffusion: its own text encoder, BERT's tokenizer.

use dvar_models::weights::ModelSource;

use super::{ModelFamily, TextEncoderPart};
use crate::pipelines::text_encoder::ldm_bert;

/// diffusers' `LDMTextToImagePipeline`. A guidance scale of 0 draws from the negative prompt alone.
pub static LATENT_DIFFUSION: ModelFamily = ModelFamily {
    name: "LDM text-to-image",
    class_name: "LDMTextToImagePipeline",
    recognises: |source| {
        ["bert/config.json", "vqvae/config.json"].iter().any(|file| source.has(file))
    },
    vae: |source| part(source, "vqvae", "vae"),
    text_encoders: |source| {
        vec![TextEncoderPart {
            key: None,
            folder: part(source, "bert", "text_encoder"),
            tokenizer: "tokenizer",
            config: ldm_bert::config,
            vocabulary: ldm_bert::tokenizer,
        }]
    },
    is_guided: |guidance_scale| guidance_scale != 1.0,
    no_prompt_is_zero: |_| Ok(false),
};

/// LDM's folders have names of their own; some were saved again under Stable Diffusion's.
fn part(source: &dyn ModelSource, own: &'static str, usual: &'static str) -> &'static str {
    let has = |folder: &str| source.has(&format!("{folder}/config.json"));
    if has(own) || !has(usual) { own } else { usual }
}
