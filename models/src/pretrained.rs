//! The model inside the binary.
//!
//! Its weights are too large for a package registry, so that only a copy of the repository has them;
//! `build.rs` looks.

#[cfg(has_default_model)]
use std::{borrow::Cow, collections::BTreeMap};

use crate::weights::Memory;

#[cfg(has_default_model)]
macro_rules! files {
    ($($file:literal),* $(,)?) => {
        [$(($file, include_bytes!(concat!("../pretrained/dvar-tiny-emoji/", $file)).as_slice())),*]
    };
}

/// `dvar-tiny-emoji`, a small emoji text-to-image model with a CLIP scorer, and its name; none if
/// this package came from a registry.
///
/// Its [`MODEL_CARD.md`](https://github.com/dvar-rs/dvar/blob/main/models/pretrained/dvar-tiny-emoji/MODEL_CARD.md)
/// tells what it is made of and under which licences.
#[cfg(not(has_default_model))]
pub fn dvar_tiny_emoji() -> Option<(Memory, &'static str)> {
    None
}

/// `dvar-tiny-emoji`, a small emoji text-to-image model with a CLIP scorer, and its name; none if
/// this package came from a registry.
///
/// Its [`MODEL_CARD.md`](https://github.com/dvar-rs/dvar/blob/main/models/pretrained/dvar-tiny-emoji/MODEL_CARD.md)
/// tells what it is made of and under which licences.
#[cfg(has_default_model)]
pub fn dvar_tiny_emoji() -> Option<(Memory, &'static str)> {
    let files: BTreeMap<String, Cow<'static, [u8]>> = files![
        "model_index.json",
        "dvar.toml",
        "words.txt",
        "scheduler/scheduler_config.json",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "clip/config.json",
        "clip/merges.txt",
        "clip/model.safetensors",
        "clip/preprocessor_config.json",
        "clip/special_tokens_map.json",
        "clip/tokenizer_config.json",
        "clip/vocab.json",
    ]
    .into_iter()
    .map(|(file, bytes)| (file.to_string(), Cow::Borrowed(bytes)))
    .collect();
    Some((Memory(files), "dvar-tiny-emoji"))
}
