//! The commands on a very small Stable Diffusion XL.

use std::fs;

use dvar::data::decode::decode;

use crate::harness::{Cli, Ran};

#[path = "../support/made_xl.rs"]
mod model;

/// A scratch folder with the model in `xl` and pictures in `pictures`.
fn scratch() -> Cli {
    let cli = Cli::new();
    model::write(&cli.path("xl"));
    cli.concept("teal-robot", "pictures");
    cli
}

fn train(cli: &Cli, output: &str, more: &[&str]) -> Ran {
    let base = [
        "train",
        "--config",
        "small.toml",
        "--train-data-dir",
        "pictures",
        "--placeholder-token",
        "<new>",
        "--initializer-token",
        "photo",
        "--max-train-steps",
        "4",
        "--device",
        "cpu",
        "--model",
        "xl",
        "-o",
        output,
    ];
    cli.run(&[&base[..], more].concat())
}

#[test]
fn sdxl_is_told_the_true_sizes_of_pictures_that_keep_their_proportions() {
    let cli = scratch();
    let metrics = |folder: &str, size: [u32; 2]| {
        fs::remove_dir_all(cli.path("pictures")).unwrap();
        fs::create_dir(cli.path("pictures")).unwrap();
        let gray = image::GrayImage::from_pixel(size[0], size[1], image::Luma([90]));
        gray.save(cli.path("pictures/a.png")).unwrap();
        train(&cli, folder, &["--crop", "none"]).ok();
        cli.read(&format!("{folder}/metrics.jsonl"))
    };
    // all three are the same grey at the same size; the last has another original size
    let first = metrics("first", [160, 90]);
    assert_eq!(metrics("again", [160, 90]), first);
    assert_ne!(metrics("larger", [320, 180]), first);
}

#[test]
fn sdxl_trains_resumes_and_draws() {
    let cli = scratch();
    let said = cli.run(&["info", "xl"]).ok();
    assert!(said.contains("Stable Diffusion XL") && said.contains("euler"), "{said}");
    assert!(said.contains("clip_l 8 and clip_g 12 wide"), "{said}");
    train(&cli, "run", &["--num-vectors", "2"]).ok();
    let said = cli.run(&["info", "run/learned_embeds.safetensors"]).ok();
    assert!(said.contains("2 of width 8 for clip_l"), "{said}");
    assert!(said.contains("2 of width 12 for clip_g"), "{said}");

    train(&cli, "half", &["--num-vectors", "2", "--max-train-steps", "3"]).ok();
    let on = ["train", "--resume", "half", "--max-train-steps", "4", "--device", "cpu"];
    cli.run(&on).ok();
    for file in ["learned_embeds.safetensors", "metrics.jsonl"] {
        assert_eq!(cli.read(&format!("half/{file}")), cli.read(&format!("run/{file}")), "{file}");
    }

    let generate = |output: &str, more: &[&str]| {
        let base = [
            "generate",
            "--model",
            "xl",
            "--embedding",
            "run/learned_embeds.safetensors",
            "--prompt",
            "a photo of a <new>",
            "-n",
            "1",
            "--steps",
            "2",
            "--device",
            "cpu",
            "-o",
            output,
        ];
        cli.run(&[&base[..], more].concat()).ok();
        cli.read(&format!("{output}/0000.png"))
    };
    let drawn = generate("drawn", &[]);
    assert_ne!(generate("empty", &["--negative-prompt", ""]), drawn);
    assert_ne!(generate("ddim", &["--scheduler", "ddim"]), drawn);
}

#[test]
fn a_lora_of_sdxl_merges_into_its_denoiser() {
    let cli = scratch();
    train(&cli, "run", &["--method", "dreambooth-lora", "--learning-rate", "0.02"]).ok();
    let adapter = "run/pytorch_lora_weights.safetensors";
    let draw = |output: &str, more: &[&str]| {
        let base = ["generate", "--embedding", "run/learned_embeds.safetensors", "-n", "1"];
        let rest = ["--prompt", "a <new>", "--steps", "2", "--model", "xl", "-o", output];
        cli.run(&[&base[..], &rest[..], &["--device", "cpu"], more].concat()).ok();
        decode(&cli.read(&format!("{output}/0000.png")), output).unwrap().into_rgb()
    };
    let adapted = draw("adapted", &["--adapter", adapter]);
    assert_ne!(draw("plain", &[]), adapted);
    cli.run(&["merge", "run", "-o", "merged"]).ok();
    fs::remove_dir_all(cli.path("xl/unet")).unwrap();
    fs::rename(cli.path("merged/unet"), cli.path("xl/unet")).unwrap();
    let merged = draw("again", &[]);
    let pairs = merged.pixels().iter().zip(adapted.pixels());
    assert!(pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap() <= 1);
}

#[test]
fn one_text_encoder_alone_is_a_choice_of_sdxl_only() {
    let cli = scratch();
    train(&cli, "second", &["--text-encoders", "2"]).ok();
    let config = fs::read_to_string(cli.path("second/config.toml")).unwrap();
    assert!(config.contains("text_encoders = \"2\""), "{config}");
    let refused = cli.train(&["--text-encoders", "1", "-o", "none"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("text_encoders"), "{refused:?}");
    assert!(!cli.path("none").exists());
}
