//! Model folders and their weights.

use std::fs;

use safetensors::{Dtype, tensor::TensorView};

use super::Messages;
use crate::harness::{Cli, golden_more, root};

/// Spoils a file's bytes; `None` deletes the file.
type Change<'a> = &'a dyn Fn(Vec<u8>) -> Option<Vec<u8>>;

#[test]
fn bad_model_folders() {
    let mut messages = Messages::default();
    let cli = Cli::with_pictures_of("koala");
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
    let cli = Cli::with_pictures_of("koala");
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

#[test]
fn bad_single_files() {
    let mut messages = Messages::default();
    let cli = Cli::with_pictures_of("koala");
    let header = |tensors: &[(&str, &str, &[usize])]| {
        let (mut offset, mut entries) = (0, Vec::new());
        for (name, dtype, shape) in tensors {
            let size = if dtype.ends_with('8') || dtype.starts_with("F8") { 1 } else { 4 };
            let end = offset + size * shape.iter().product::<usize>();
            let entry = serde_json::json!({
                "dtype": dtype, "shape": shape, "data_offsets": [offset, end]
            });
            entries.push(((*name).to_string(), entry));
            offset = end;
        }
        let header = serde_json::Map::from_iter(entries);
        let header = serde_json::Value::Object(header).to_string().into_bytes();
        [&(header.len() as u64).to_le_bytes()[..], &header, &vec![0; offset]].concat()
    };
    let first = "model.diffusion_model.input_blocks.0.0.weight";
    let golden = golden_more();
    let tiny = fs::read(golden.join("files/single/sd1.safetensors")).unwrap();
    let only = |name, shape| header(&[(name, "F32", shape)]);
    let xl = header(&[
        ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias", "F32", &[1]),
        ("conditioner.embedders.1.model.ln_final.weight", "F32", &[1]),
        ("first_stage_model.quant_conv.weight", "F32", &[1]),
        (first, "F32", &[1, 4, 3, 3]),
    ]);
    let nf4 = header(&[
        (first, "U8", &[18, 1, 1, 1]),
        ("model.diffusion_model.input_blocks.0.0.weight.absmax", "F32", &[1]),
    ]);
    let checkpoint = fs::read(golden.join("files/single/sd1.ckpt")).unwrap();
    let embedding = fs::read(golden.join("files/embeddings/rinongal-parameterdict.pt")).unwrap();
    let pickled = fs::read(root().join("tests/fixtures/torch/bad_fp8.bin")).unwrap();
    let eight_bits = |name| header(&[(name, "F8_E4M3", &[4, 1, 1, 1])]);
    for (case, file, bytes) in [
        ("cut off", "m.safetensors", tiny[..tiny.len() / 2].to_vec()),
        ("of other sizes than the published", "m.safetensors", tiny),
        ("a web page", "m.ckpt", b"<!doctype html>".to_vec()),
        (
            "a pointer of git LFS",
            "m.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n".to_vec(),
        ),
        ("a checkpoint cut off", "m.ckpt", checkpoint[..checkpoint.len() / 2].to_vec()),
        ("an embedding of PyTorch", "m.pt", embedding),
        ("a GGUF", "m.gguf", b"GGUF\x03\0\0\0 and more".to_vec()),
        ("a picture", "m.png", b"\x89PNG\r\n\x1a\n and more".to_vec()),
        ("in 8 bits", "m.safetensors", {
            let names = [
                "cond_stage_model.transformer.text_model.final_layer_norm.bias",
                "first_stage_model.quant_conv.weight",
            ];
            let [text, vae] = names.map(|name| (name, "F8_E4M3", &[1][..]));
            header(&[text, vae, (first, "F8_E4M3", &[1, 4, 3, 3])])
        }),
        ("a checkpoint in 8 bits", "m.ckpt", pickled),
        (
            "a Flux model in 8 bits",
            "m.safetensors",
            eight_bits("double_blocks.0.img_attn.qkv.weight"),
        ),
        (
            "a Stable Diffusion 3 model in 8 bits",
            "m.safetensors",
            eight_bits("model.diffusion_model.joint_blocks.0.x.weight"),
        ),
        ("a LoRA", "m.safetensors", only("lora_unet_mid_block.lora_up.weight", &[4, 1, 1, 1])),
        ("an embedding", "m.safetensors", only("<cat>", &[1, 768])),
        (
            "a LoRA of today's libraries",
            "m.safetensors",
            only("unet.down_blocks.0.attn1.to_q.lora_A.weight", &[4, 1, 1, 1]),
        ),
        ("quantised to 4 bits (NF4)", "m.safetensors", nf4),
        (
            "half converted",
            "m.safetensors",
            header(&[
                (first, "F32", &[1, 4, 3, 3]),
                ("first_stage_model.encoder.down_blocks.0.resnets.0.conv1.weight", "F32", &[1]),
            ]),
        ),
        (
            "a ControlNet in diffusers' layout",
            "m.safetensors",
            only("controlnet_cond_embedding.conv_in.weight", &[4, 1, 3, 3]),
        ),
        ("a ControlNet", "m.safetensors", only("control_model.time_embed.0.weight", &[4, 1, 1, 1])),
        (
            "a Flux model",
            "m.safetensors",
            only("double_blocks.0.img_attn.qkv.weight", &[4, 1, 1, 1]),
        ),
        (
            "a Stable Diffusion 3 model",
            "m.safetensors",
            only("joint_blocks.0.x.weight", &[4, 1, 1, 1]),
        ),
        ("an SDXL model by its name for few steps", "some_xl_turbo-v1.safetensors", xl),
        (
            "an LCM",
            "m.safetensors",
            only("model.diffusion_model.time_embed.cond_proj.weight", &[4, 4, 1]),
        ),
        ("a model without signal at its end", "m.safetensors", only("ztsnr", &[1, 1, 1])),
        ("an EDM model", "m.safetensors", only("edm_mean", &[1, 4, 1, 1])),
        (
            "SDXL's refiner",
            "m.safetensors",
            only("conditioner.embedders.0.model.ln_final.weight", &[4, 1, 1, 1]),
        ),
        ("an inpainting model", "m.safetensors", only(first, &[1, 9, 3, 3])),
        (
            "a part in diffusers' layout",
            "m.safetensors",
            only("down_blocks.0.resnets.0.conv1.weight", &[4, 1, 3, 3]),
        ),
        ("without autoencoder", "m.safetensors", only(first, &[1, 4, 3, 3])),
        (
            "an autoencoder",
            "m.safetensors",
            only("first_stage_model.quant_conv.weight", &[8, 8, 1, 1]),
        ),
    ] {
        fs::write(cli.path(file), bytes).unwrap();
        messages.refused(case, cli.train(&["--model", file, "-o", "run"]));
        assert!(!cli.path("run").exists(), "{case}: it left a run folder");
    }
    messages.refused("--ema with a folder", cli.train(&["--model", "embedded", "--ema"]));
    insta::assert_snapshot!(messages.0);
}

#[test]
fn a_folder_of_checkpoints_is_told_to_give_one() {
    let cli = Cli::new();
    fs::create_dir(cli.path("models")).unwrap();
    for name in ["b.ckpt", "a.safetensors", "._a.safetensors", "Put checkpoints here.txt"] {
        fs::write(cli.path("models").join(name), "").unwrap();
    }
    let refused = cli.run(&["info", "models"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let told = "give the file, such as `models/a.safetensors`";
    assert!(refused.stderr.contains(told), "{refused:?}");
    // what a run learned is no checkpoint
    fs::write(cli.path("models/config.toml"), "").unwrap();
    let refused = cli.run(&["generate", "--model", "models", "--prompt", "a cat"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("the model lacks `"), "{refused:?}");
}

#[test]
fn what_a_single_file_says_of_itself_is_heeded_and_a_title_alone_refuses_none() {
    let cli = Cli::new();
    let tensors = [
        ("cond_stage_model.transformer.text_model.final_layer_norm.bias", vec![1_usize]),
        ("first_stage_model.quant_conv.weight", vec![1]),
        ("model.diffusion_model.input_blocks.0.0.weight", vec![1, 4, 3, 3]),
    ];
    let info = |key: &str, told: &str| {
        let views = tensors.clone().map(|(name, shape)| {
            let zeros: &[u8] = &[0; 4 * 4 * 3 * 3];
            let length = 4 * shape.iter().product::<usize>();
            (name, TensorView::new(Dtype::F32, shape, &zeros[..length]).unwrap())
        });
        let metadata = [(key.to_string(), told.to_string())];
        let bytes = safetensors::serialize(views, Some(metadata.into())).unwrap();
        fs::write(cli.path("m.safetensors"), bytes).unwrap();
        cli.run(&["info", "m.safetensors"])
    };
    let titled = info("modelspec.title", "My Lightning Bolts");
    assert!(titled.stderr.starts_with("note: `m.safetensors`: by the title in its"), "{titled:?}");
    let said = titled.ok();
    assert!(said.contains("m.safetensors (Stable Diffusion 1.x)"), "{said}");
    assert!(said.contains("predicts   epsilon"), "{said}");
    let said = info("modelspec.prediction_type", "v").ok();
    assert!(said.contains("predicts   v_prediction"), "{said}");
    let untold = info("modelspec.title", "Furry").ok();
    fs::copy(cli.path("m.safetensors"), cli.path("m_vPred06.safetensors")).unwrap();
    let named = cli.run(&["info", "m_vPred06.safetensors"]);
    assert!(named.stderr.contains("by its name, it predicts the velocity"), "{named:?}");
    assert!(untold.contains("predicts   epsilon") && named.ok().contains("predicts   epsilon"));
    fs::write(cli.path("m.yaml"), "model:\n  params:\n    parameterization: \"v\"\n").unwrap();
    let said = info("modelspec.title", "Furry").ok();
    assert!(said.contains("predicts   v_prediction"), "by the configuration beside it: {said}");
    let turbo = info("modelspec.architecture", "stable-diffusion-v1-turbo");
    assert_eq!(turbo.code, Some(2), "{turbo:?}");
}
