//! Model folders and their weights.

use std::fs;

use super::Messages;
use crate::harness::{Cli, root};

/// Spoils a file's bytes; `None` deletes the file.
type Change<'a> = &'a dyn Fn(Vec<u8>) -> Option<Vec<u8>>;

#[test]
fn bad_model_folders() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    messages.refused("no such model folder", cli.train(&["--model", "none"]));
    cli.copy_model("model");
    let edit = |file: &str, change: Change| {
        let path = cli.path("model").join(file);
        let old = fs::read(&path).unwrap();
        match change(old.clone()) {
            Some(new) => fs::write(&path, new).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        (path, old)
    };
    let replace = |from: &'static str, to: &'static str| {
        move |old: Vec<u8>| Some(String::from_utf8(old).unwrap().replace(from, to).into_bytes())
    };
    let unet = "unet/diffusion_pytorch_model.safetensors";
    let cases: [(&str, &str, Change); 12] = [
        ("without unet/config.json", "unet/config.json", &|_| None),
        ("without its UNet's weights", unet, &|_| None),
        ("without its vocabulary", "tokenizer/vocab.json", &|_| None),
        (
            "of a class that is unknown",
            "model_index.json",
            &replace("StableDiffusionPipeline", "FluxPipeline"),
        ),
        (
            "with an unknown block",
            "unet/config.json",
            &replace("\"DownBlock2D\"", "\"AttnDownBlock2D\""),
        ),
        (
            "with a UNet that is wider than its weights",
            "unet/config.json",
            &replace("    64,", "    96,"),
        ),
        (
            "with a text encoder of another width",
            "text_encoder/config.json",
            &replace("\"hidden_size\": 128", "\"hidden_size\": 64"),
        ),
        (
            "of absurd depth",
            "unet/config.json",
            &replace("\"layers_per_block\": 1", "\"layers_per_block\": 1000000"),
        ),
        (
            "of absurd size",
            "unet/config.json",
            &replace("\"sample_size\": 16", "\"sample_size\": 4611686018427387904"),
        ),
        ("with weights cut off", unet, &|old| Some(old[..old.len() / 2].to_vec())),
        ("with a header that claims 10^18 bytes", unet, &|mut old| {
            old[..8].copy_from_slice(&1_000_000_000_000_000_000_u64.to_le_bytes());
            Some(old)
        }),
        ("with an empty scheduler configuration", "scheduler/scheduler_config.json", &|_| {
            Some(b"{}".to_vec())
        }),
    ];
    for (case, file, change) in cases {
        let (path, old) = edit(file, change);
        messages.refused(&format!("a model {case}"), cli.train(&["--model", "model", "-o", "run"]));
        assert!(!cli.path("run").exists(), "{case}: it left a run folder");
        fs::write(path, old).unwrap();
    }
    insta::assert_snapshot!(messages.0);
}

#[test]
fn bad_pickled_weights() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    cli.copy_model("model");
    fs::remove_file(cli.path("model/unet/diffusion_pytorch_model.safetensors")).unwrap();
    let fixtures = root().join("tests/fixtures/torch");
    let whole = fs::read(fixtures.join("weights_cuda.bin")).unwrap();
    let legacy = fs::read(fixtures.join("weights_legacy.bin")).unwrap();
    let mut cases = vec![
        ("weights of another network".to_string(), whole.clone()),
        ("nothing".into(), Vec::new()),
        ("a web page".into(), b"<!doctype html>".to_vec()),
        ("a file cut off".into(), whole[..whole.len() / 2].to_vec()),
        ("an old file cut off".into(), legacy[..legacy.len() - 1].to_vec()),
    ];
    let names = fs::read_dir(&fixtures).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    for name in names.iter().filter(|name| name.starts_with("bad_")) {
        cases.push((name.clone(), fs::read(fixtures.join(name)).unwrap()));
    }
    for (case, bytes) in cases {
        fs::write(cli.path("model/unet/diffusion_pytorch_model.bin"), bytes).unwrap();
        messages.refused(&case, cli.train(&["--model", "model", "-o", "run"]));
        assert!(!cli.path("run").exists(), "{case}: it left a run folder");
    }
    insta::assert_snapshot!(messages.0);
}
