//! Models of published sizes, without their files: the weights are random numbers.

use std::{borrow::Cow, collections::BTreeMap};

use dvar_models::{
    single_file::Kind,
    weights::{Memory, RandomWeights},
};
use serde_json::{Value, json};

use crate::{cli::CliError, pipelines::ModelFolder};

/// Sizes that `--random-weights` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sizes {
    /// Stable Diffusion v1-5
    #[value(name = "sd-v1-5")]
    StableDiffusion,
    /// Stable Diffusion v2-1
    #[value(name = "sd-v2")]
    StableDiffusion2,
    /// Stable Diffusion XL base
    #[value(name = "sdxl")]
    StableDiffusionXl,
    /// CompVis' ldm-text2im-large-256
    #[value(name = "ldm")]
    LatentDiffusion,
    /// The embedded default
    #[value(name = "default")]
    Embedded,
}

type Files = BTreeMap<String, Cow<'static, [u8]>>;

/// A model of these sizes.
pub(super) fn model(sizes: Sizes) -> Result<ModelFolder, CliError> {
    let (name, files) = match sizes {
        Sizes::StableDiffusion => ("sd-v1-5", Kind::StableDiffusion1.files()),
        Sizes::StableDiffusion2 => ("sd-v2", Kind::StableDiffusion2.files()),
        Sizes::StableDiffusionXl => ("sdxl", Kind::StableDiffusionXl.files()),
        Sizes::LatentDiffusion => ("ldm", Memory(latent_diffusion())),
        Sizes::Embedded => ("default", embedded()?),
    };
    let name = format!("{name} (random weights)");
    Ok(ModelFolder::new(RandomWeights(files), name)?)
}

#[cfg(feature = "embedded")]
fn embedded() -> Result<Memory, CliError> {
    let default = dvar_models::pretrained::dvar_tiny_emoji();
    default.map(|(files, _)| files).ok_or_else(crate::cli::model::no_default)
}

#[cfg(not(feature = "embedded"))]
fn embedded() -> Result<Memory, CliError> {
    Err(crate::cli::model::no_default())
}

fn latent_diffusion() -> Files {
    let mut files = Files::new();
    add(&mut files, "model_index.json", &json!({"_class_name": "LDMTextToImagePipeline"}));
    add(
        &mut files,
        "bert/config.json",
        &json!({
            "vocab_size": 30522, "d_model": 1280, "encoder_ffn_dim": 5120, "encoder_layers": 32,
            "encoder_attention_heads": 8, "head_dim": 64, "max_position_embeddings": 77,
            "activation_function": "gelu",
        }),
    );
    // every letter alone, and within a word
    let letters = ('a'..='z').chain(['<', '>', '-']);
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
    let letters = letters.flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    let words: Vec<String> = words.into_iter().chain(letters).collect();
    files.insert("tokenizer/vocab.txt".into(), Cow::Owned(words.join("\n").into_bytes()));
    let attention = ["CrossAttn", "CrossAttn", "CrossAttn", ""];
    add(&mut files, "unet/config.json", &unet(32, 1280, attention));
    add(&mut files, "vqvae/config.json", &autoencoder(256));
    add(&mut files, "scheduler/scheduler_config.json", &schedule("DDIMScheduler", "linear"));
    files
}

fn add(files: &mut Files, file: &str, content: &Value) {
    files.insert(file.into(), Cow::Owned(content.to_string().into_bytes()));
}

fn unet(sample_size: usize, cross_attention_dim: usize, attention: [&str; 4]) -> Value {
    let blocks = |way: &str| attention.map(|kind| format!("{kind}{way}Block2D"));
    let mut up = blocks("Up");
    up.reverse();
    json!({
        "sample_size": sample_size, "cross_attention_dim": cross_attention_dim,
        "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "attention_head_dim": 8,
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": blocks("Down"), "up_block_types": up,
    })
}

fn autoencoder(sample_size: usize) -> Value {
    json!({
        "sample_size": sample_size, "in_channels": 3, "out_channels": 3, "latent_channels": 4,
        "layers_per_block": 2, "block_out_channels": [128, 256, 512, 512],
        "down_block_types": vec!["DownEncoderBlock2D"; 4],
        "up_block_types": vec!["UpDecoderBlock2D"; 4],
        "norm_num_groups": 32, "act_fn": "silu",
    })
}

fn schedule(class_name: &str, beta_schedule: &str) -> Value {
    json!({
        "_class_name": class_name, "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": beta_schedule, "num_train_timesteps": 1000, "steps_offset": 1,
        "set_alpha_to_one": false, "clip_sample": false, "skip_prk_steps": true,
    })
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_models_of_all_sizes_open() {
        for sizes in Sizes::value_variants() {
            model(*sizes).unwrap().tokenizers().unwrap();
        }
    }
}
