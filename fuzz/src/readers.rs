//! A function for each reader of bytes from outside. None may panic, whatever the bytes; an error is an
//! answer. The tests read the corpus with them too.

use std::{borrow::Cow, collections::BTreeMap, hint::black_box};

use dvar::{
    concept::LearnedAdapter, config::TrainOptions, data::decode::decode, plot::CurvePoint,
    schedulers::SchedulerConfig, trainer::TrainState,
};
use dvar_models::{
    clip::{ClipConfig, ClipTextConfig},
    dino::ViTConfig,
    ldm_bert::LdmBertConfig,
    single_file::SingleFile,
    tokenizer::PromptTokenizer,
    unet::UNet2DConditionConfig,
    vae::AutoencoderKlConfig,
    weights::{Memory, with_replaced},
};

/// Reads bytes, and forgets what it made of them.
pub type Reader = fn(&[u8]);

/// All of them, by the name of their corpus.
pub const TARGETS: [(&str, Reader); 10] = [
    ("adapter", adapter),
    ("configs", configs),
    ("embedding", embedding),
    ("metrics", metrics),
    ("options", options),
    ("picture", picture),
    ("single_file", single_file),
    ("state", state),
    ("tokenizer", tokenizer),
    ("weights", weights),
];

/// LoRA's or Custom Diffusion's file.
pub fn adapter(bytes: &[u8]) {
    let _ = black_box(LearnedAdapter::from_bytes(bytes, "lora.safetensors"));
}

/// The configurations of a model's parts.
pub fn configs(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = black_box(SchedulerConfig::from_json(&text));
    let _ = black_box(UNet2DConditionConfig::parse(bytes, "unet"));
    let _ = black_box(AutoencoderKlConfig::parse(bytes, "vae"));
    let _ = black_box(ClipTextConfig::parse(bytes, "text_encoder"));
    let _ = black_box(ClipConfig::parse(bytes, "clip"));
    let _ = black_box(LdmBertConfig::parse(bytes, "bert"));
    let _ = black_box(ViTConfig::parse(bytes, "dino"));
}

/// A learned embedding: safetensors, a pickle, or a picture that holds one.
pub fn embedding(bytes: &[u8]) {
    let _ = black_box(dvar::embedding::read(bytes, "embedding"));
}

/// Lines of `metrics.jsonl`.
pub fn metrics(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let _ = black_box(serde_json::from_slice::<CurvePoint>(line));
    }
}

/// A configuration file, and a page's options.
pub fn options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = black_box(TrainOptions::from_toml(&text, "config.toml"));
    let _ = black_box(TrainOptions::from_json(&text));
}

/// A picture and its EXIF data.
pub fn picture(bytes: &[u8]) {
    let _ = black_box(decode(bytes, "picture"));
}

/// A whole model in one file, every tensor of it: a pickle if the first byte says so.
pub fn single_file(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let file = if first % 2 == 0 { "model.safetensors" } else { "model.ckpt" };
    if let Ok(model) = SingleFile::open(&holding(file, bytes), file) {
        for part in ["unet", "vae", "text_encoder"] {
            let _ = black_box(with_replaced(&model, part, &BTreeMap::new()));
        }
    }
}

/// A run's saved state.
pub fn state(bytes: &[u8]) {
    let _ = black_box(TrainState::from_bytes(bytes));
}

/// A tokenizer's files, which a line of `--` parts.
pub fn tokenizer(bytes: &[u8]) {
    let files: Vec<Vec<u8>> = String::from_utf8_lossy(bytes)
        .split("\n--\n")
        .map(|file| file.as_bytes().to_vec())
        .collect();
    let file = |index: usize| files.get(index).map(Vec::as_slice);
    let first = file(0).unwrap_or_default();
    let clip = PromptTokenizer::clip(first, file(1).unwrap_or_default(), file(2), file(3));
    let bert = PromptTokenizer::bert(first, file(2), file(3));
    for tokenizer in [clip.ok(), bert.ok()].into_iter().flatten() {
        black_box(tokenizer.encode("a photo of a <thing>!", 77));
    }
}

/// A network's weights, every tensor of them: a pickle if the first byte says so.
pub fn weights(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let pickled = first % 2 == 1;
    let ending = if pickled { "bin" } else { "safetensors" };
    let source = holding(&format!("unet/diffusion_pytorch_model.{ending}"), bytes);
    let _ = black_box(with_replaced(&source, "unet", &BTreeMap::new()));
}

fn holding(file: &str, bytes: &[u8]) -> Memory {
    Memory([(file.to_string(), Cow::Owned(bytes.to_vec()))].into())
}
