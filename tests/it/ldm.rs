//! LDM folders in the shapes in which they are found.

use std::fs;

use burn::tensor::Device;
use dvar::pipelines::{LATENT_DIFFUSION, ModelFolder, PipelineError};
use serde_json::{Map, json};
use tempfile::TempDir;

use crate::{
    golden,
    support::{only, prompt_encoder, tiny, values},
};

/// Copies the parts of golden models into a folder: the name there, the golden folder.
fn assemble(parts: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, golden) in parts {
        let (from, to) = (golden::root().join("models").join(golden), folder.path().join(name));
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    folder
}

#[test]
fn a_folder_without_index_and_with_the_usual_names_is_the_same_model() {
    let renamed = assemble(&[
        ("text_encoder", "tiny-ldm/bert"),
        ("tokenizer", "tiny-ldm/tokenizer"),
        ("scheduler", "tiny-ldm/scheduler"),
        ("unet", "tiny-ldm/unet"),
        ("vqvae", "tiny-ldm/vqvae"),
    ]);
    let (device, whole) = (Device::flex(), tiny("ldm"));
    let renamed = ModelFolder::open(renamed.path()).map(|model| {
        assert_eq!(model.family(), &LATENT_DIFFUSION);
        assert_eq!(model.embedding_widths(), whole.embedding_widths());
        model.load_vae(&device).unwrap();
        prompt_encoder(&model, &device)
    });
    let table = values(only(prompt_encoder(&whole, &device).token_tables()));
    assert_eq!(values(only(renamed.unwrap().token_tables())), table);
}

/// transformers 5 writes no `vocab.txt`.
#[test]
fn a_tokenizer_json_alone_reads_every_prompt_as_the_vocabulary_does() {
    let folder = assemble(&[
        ("bert", "tiny-ldm/bert"),
        ("tokenizer", "tiny-ldm/tokenizer"),
        ("scheduler", "tiny-ldm/scheduler"),
        ("unet", "tiny-ldm/unet"),
        ("vqvae", "tiny-ldm/vqvae"),
    ]);
    let path = |name: &str| folder.path().join("tokenizer").join(name);
    let vocab = fs::read_to_string(path("vocab.txt")).unwrap();
    let ids = vocab.lines().enumerate().map(|(id, token)| (token.to_string(), json!(id)));
    let whole = json!({
        "normalizer": {"type": "BertNormalizer", "lowercase": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": Map::from_iter(ids)},
    });
    fs::write(path("tokenizer.json"), whole.to_string()).unwrap();
    fs::remove_file(path("vocab.txt")).unwrap();
    fs::remove_file(path("special_tokens_map.json")).unwrap();

    let read = |model: ModelFolder| {
        let golden = golden::json("tokenizer_bert");
        let mut tokenizers = model.tokenizers().unwrap();
        tokenizers.add_placeholder(golden["placeholder"].as_str().unwrap(), 1).unwrap();
        let rows = golden["rows"].as_array().unwrap().iter();
        let texts: Vec<_> = rows.map(|row| row["prompt"].as_str().unwrap().to_string()).collect();
        texts.iter().map(|text| tokenizers.encode(text)).collect::<Vec<_>>()
    };
    let read_by_json = read(ModelFolder::open(folder.path()).unwrap());
    assert!(!read_by_json.is_empty());
    assert_eq!(read_by_json, read(tiny("ldm")));
}

#[test]
fn parts_of_two_models_in_one_folder_do_not_fit() {
    let mixed = assemble(&[
        ("bert", "tiny-ldm/bert"),
        ("scheduler", "tiny-ldm/scheduler"),
        ("unet", "tiny-ldm/unet"),
        ("vqvae", "tiny-ldm/vqvae"),
    ]);
    let config = mixed.path().join("unet/config.json");
    let mut unet: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    unet["cross_attention_dim"] = 1000.into();
    fs::write(&config, unet.to_string()).unwrap();
    let error = ModelFolder::open(mixed.path()).unwrap_err();
    assert!(matches!(error, PipelineError::Mismatch { .. }), "{error}");
    let width = tiny("ldm").embedding_widths();
    let told = format!("the text encoder is {width} wide, the UNet wants 1000");
    assert!(error.to_string().ends_with(&told), "{error}");
}
