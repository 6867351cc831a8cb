//! The commands on a small LDM folder.

use std::fs;

use dvar::embedding::{LearnedEmbedding, write};

use crate::harness::{Cli, Ran, golden, initializer};

/// A model's folder, by slashes as `Ran` tells of it.
fn model(name: &str) -> String {
    golden().join("models").join(name).to_str().unwrap().replace('\\', "/")
}

/// Width of LDM's learned vectors.
fn width() -> usize {
    let config = fs::read_to_string(golden().join("models/tiny-ldm/bert/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["d_model"].as_u64().unwrap() as usize
}

fn train(cli: &Cli, output: &str, more: &[&str]) -> Ran {
    let (word, model) = (initializer("bert"), model("tiny-ldm"));
    let base = [
        "train",
        "--config",
        "small.toml",
        "--train-data-dir",
        "pictures",
        "--placeholder-token",
        "inversion-cat_statue",
        "--initializer-token",
        &word,
        "--num-vectors",
        "2",
        "--max-train-steps",
        "4",
        "--device",
        "cpu",
        "--model",
        &model,
        "-o",
        output,
    ];
    cli.run(&[&base[..], more].concat())
}

#[test]
fn ldm_trains_and_draws() {
    let cli = Cli::with_pictures_of("teal-robot");
    let model = model("tiny-ldm");
    let said = cli.run(&["info", &model]).ok();
    assert!(said.contains("LDM text-to-image") && said.contains("ddim"), "{said}");
    train(&cli, "run", &[]).ok();
    let said = cli.run(&["info", "run/learned_embeds.safetensors"]).ok();
    assert!(said.contains(&format!("2 of width {}", width())), "{said}");

    let generate = |output: &str, more: &[&str]| {
        let base = [
            "generate",
            "--model",
            &model,
            "--embedding",
            "run/learned_embeds.safetensors",
            "--prompt",
            "a photo of a inversion-cat_statue",
            "-n",
            "1",
            "--steps",
            "2",
            "-o",
            output,
        ];
        cli.run(&[&base[..], more].concat()).ok();
        cli.read(&format!("{output}/0000.png"))
    };
    let guided = generate("guided", &[]);
    let unguided = generate("unguided", &["--guidance-scale", "1"]);
    let negative = generate("negative", &["--guidance-scale", "0"]);
    assert!(guided != unguided && unguided != negative && negative != guided);
    // guidance 0 is the negative prompt alone
    let other = "--negative-prompt=a photo of a inversion-cat_statue";
    // but for rounding: the UNet takes both sides of the guidance at once
    let swapped = generate("swapped", &["--guidance-scale", "0", other]);
    let pixels = |png: &[u8]| image::load_from_memory(png).unwrap().into_rgb8().into_raw();
    let (swapped, unguided) = (pixels(&swapped), pixels(&unguided));
    assert!(swapped.iter().zip(&unguided).all(|(a, b)| a.abs_diff(*b) <= 1));
    assert_ne!(generate("noisy", &["--eta", "1"]), guided);
    assert_ne!(generate("cosine", &["--beta-schedule", "squaredcos_cap_v2"]), guided);
}

#[test]
fn another_beta_schedule_trains_on_other_noise_and_is_kept_with_the_run() {
    let cli = Cli::with_pictures_of("teal-robot");
    for schedule in ["linear", "scaled_linear"] {
        train(&cli, schedule, &["--beta-schedule", schedule]).ok();
    }
    train(&cli, "file", &[]).ok();
    let metrics = |run: &str| cli.read(&format!("{run}/metrics.jsonl"));
    let (linear, scaled, file) = (metrics("linear"), metrics("scaled_linear"), metrics("file"));
    assert_ne!(linear, scaled);
    assert!(file == linear || file == scaled, "the file names one of the two");
    let kept = String::from_utf8(cli.read("linear/config.toml")).unwrap();
    assert!(kept.contains("beta_schedule = \"linear\""), "{kept}");
    let refused = train(&cli, "refused", &["--beta-schedule", "cosine"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("use one of `linear`, `scaled_linear`"), "{refused:?}");
}

#[test]
fn an_embedding_of_the_other_family_is_refused_with_both_widths() {
    let cli = Cli::new();
    for (file, dim) in [("sd.safetensors", 768), ("ldm.safetensors", 1280)] {
        let learned = LearnedEmbedding::new("<cat>", vec![0.1; dim], 1, dim).unwrap();
        fs::write(cli.path(file), write(&learned)).unwrap();
    }
    let (sd, ldm) = (model("tiny-sd"), model("tiny-ldm"));
    for (file, model, dim) in [("sd.safetensors", &ldm, 768), ("ldm.safetensors", &sd, 1280)] {
        let ran = cli.run(&["generate", "--model", model, "-e", file, "--prompt", "a <cat>"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let told = format!("the embedding of `<cat>` is {dim} wide, {model} takes ");
        assert!(ran.stderr.contains(&told), "{ran:?}");
        if model == &ldm {
            assert!(ran.stderr.contains(&format!("takes {};", width())), "{ran:?}");
        }
    }
}
