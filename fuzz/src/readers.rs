//! A function for each reader of bytes from outside. None may panic, whatever the bytes; an error is an
//! answer. The tests read the corpus with them too.

use std::{borrow::Cow, collections::BTreeMap, hint::black_box};

use dvar::{
    concept::LearnedAdapter,
    config::TrainOptions,
    data::decode::decode,
    early_stopping::{Dvar, Plateau, ScorePatience},
    embedding::EmbeddingFormat,
    pipelines::ModelFolder,
    plot::{CurvePoint, Watched, curve_svg},
    schedulers::SchedulerConfig,
    trainer::TrainState,
};
use dvar_models::{
    clip::{ClipConfig, ClipTextConfig},
    dino::ViTConfig,
    ldm_bert::LdmBertConfig,
    single_file::SingleFile,
    tokenizer::PromptTokenizer,
    unet::UNet2DConditionConfig,
    vae::AutoencoderKlConfig,
    weights::{HubFiles, Memory, with_replaced},
};

/// Reads bytes, and forgets what it made of them.
pub type Reader = fn(&[u8]);

/// All of them, by the name of their corpus.
pub const TARGETS: [(&str, Reader); 12] = [
    ("adapter", adapter),
    ("configs", configs),
    ("embedding", embedding),
    ("hub", hub),
    ("metrics", metrics),
    ("model", model),
    ("options", options),
    ("picture", picture),
    ("single_file", single_file),
    ("state", state),
    ("tokenizer", tokenizer),
    ("weights", weights),
];

/// LoRA's or Custom Diffusion's file, and PEFT's configuration behind a line of `--`.
pub fn adapter(bytes: &[u8]) {
    let parts = parts(bytes);
    let config = parts.get(1).map(|config| String::from_utf8_lossy(config));
    let file = "adapter_model.safetensors";
    let _ = black_box(LearnedAdapter::with_peft_config(parts[0], file, config.as_deref()));
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

/// A learned embedding: safetensors, a pickle, or a picture that holds one; and what is written of it.
pub fn embedding(bytes: &[u8]) {
    use EmbeddingFormat::{A1111, Diffusers, Kohya, Onetrainer};
    let Ok(learned) = dvar::embedding::read(bytes, "embedding") else { return };
    black_box(dvar::embedding::write(&learned));
    for format in [A1111, Diffusers, Kohya, Onetrainer] {
        black_box(format.write(&learned));
    }
}

/// What the Hub answers when it is asked for a repository's files, and an index of shards.
///
/// # Panics
///
/// If a file is to be fetched that would lie outside of the repository's folder.
pub fn hub(bytes: &[u8]) {
    let parts = parts(bytes);
    let answer: serde_json::Value = serde_json::from_slice(parts[0]).unwrap_or_default();
    let siblings = answer["siblings"].as_array().into_iter().flatten();
    let names = siblings.filter_map(|file| file["rfilename"].as_str().map(str::to_string));
    let Ok(files) = HubFiles::new("owner/name", names) else { return };
    let index = |_: &str| Ok(parts.get(1).map(|index| index.to_vec()).unwrap_or_default());
    for file in [files.of_model(index), files.of_scorer(index)].into_iter().flatten().flatten() {
        let outside = file.starts_with('/') || file.split('/').any(|part| part == "..");
        assert!(!outside, "`{file}` would be fetched");
    }
}

/// Lines of `metrics.jsonl`, and the figure that is drawn of them.
pub fn metrics(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n');
    let points: Vec<CurvePoint> =
        lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    black_box(curve_svg(&points, &Watched::dvar(0.15), None, "metrics"));
}

/// A model's folder: files that a line of `--` parts, each after a line with its name.
pub fn model(bytes: &[u8]) {
    let files = parts(bytes).into_iter().filter_map(|part| {
        let end = part.iter().position(|byte| *byte == b'\n')?;
        let name = String::from_utf8_lossy(&part[..end]).into_owned();
        Some((name, Cow::Owned(part[end + 1..].to_vec())))
    });
    let files = Memory(files.collect());
    let _ = black_box(with_replaced(&files, "unet", &BTreeMap::new()));
    let _ = black_box(ModelFolder::new(files, "model".into()));
}

/// A configuration file, what a model advises, and a page's options.
pub fn options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = black_box(TrainOptions::from_advice(&text, &TrainOptions::default(), "dvar.toml"));
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
        for part in ["unet", "vae", "text_encoder", "text_encoder_2"] {
            let _ = black_box(with_replaced(&model, part, &BTreeMap::new()));
        }
    }
}

/// A run's saved state, or that of a criterion in it, which goes on.
pub fn state(bytes: &[u8]) {
    let _ = black_box(TrainState::from_bytes(bytes));
    if let Ok(mut dvar) = serde_json::from_slice::<Dvar>(bytes) {
        let _ = black_box(dvar.update(0.5));
    }
    if let Ok(mut plateau) = serde_json::from_slice::<Plateau>(bytes) {
        let _ = black_box(plateau.update(0.5));
    }
    if let Ok(mut patience) = serde_json::from_slice::<ScorePatience>(bytes) {
        let _ = black_box(patience.update(0.5));
    }
}

/// A tokenizer's files, which a line of `--` parts.
pub fn tokenizer(bytes: &[u8]) {
    let files = parts(bytes);
    let (first, second) = (files[0], files.get(1).copied().unwrap_or_default());
    let (config, special) = (files.get(2).copied(), files.get(3).copied());
    let tokenizers = [
        PromptTokenizer::clip(first, second, config, special),
        PromptTokenizer::clip_from_json(first, config, special),
        PromptTokenizer::bert(first, config, special),
        PromptTokenizer::bert_from_json(first, config, special),
    ];
    for tokenizer in tokenizers.into_iter().flatten() {
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

/// What lines of `--` part.
fn parts(mut bytes: &[u8]) -> Vec<&[u8]> {
    const LINE: &[u8] = b"\n--\n";
    let mut parts = Vec::new();
    while let Some(end) = bytes.windows(LINE.len()).position(|window| window == LINE) {
        parts.push(&bytes[..end]);
        bytes = &bytes[end + LINE.len()..];
    }
    parts.push(bytes);
    parts
}

fn holding(file: &str, bytes: &[u8]) -> Memory {
    Memory([(file.to_string(), Cow::Owned(bytes.to_vec()))].into())
}
