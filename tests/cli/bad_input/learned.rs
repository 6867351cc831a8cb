//! What was learned before: embeddings, adapters, pictures to score.

use std::fs;

use super::{Messages, png};
use crate::harness::{Cli, root};

#[test]
fn bad_embeddings() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    let write = |name: &str, token: &str, dim: usize| {
        let learned =
            dvar::embedding::LearnedEmbedding::new(token, vec![0.1; dim], 1, dim).unwrap();
        fs::write(cli.path(name), dvar::embedding::write(&learned)).unwrap();
    };
    write("wide.safetensors", "<cat>", 768);
    write("cat.safetensors", "<cat>", 128);
    write("known.safetensors", "umbrella", 128);
    fs::write(cli.path("text.safetensors"), "no embedding").unwrap();
    for (case, file, prompt) in [
        ("an embedding of another model", "wide.safetensors", "a <cat>"),
        ("a prompt with another token", "cat.safetensors", "a <dog>"),
        ("an embedding whose token the model knows", "known.safetensors", "an umbrella"),
        ("a file that is no embedding", "text.safetensors", "a <cat>"),
        ("no such embedding", "none.safetensors", "a <cat>"),
    ] {
        messages.refused(case, cli.run(&["generate", "--embedding", file, "--prompt", prompt]));
    }
    for (case, args) in [
        ("no pictures asked for", ["--count", "0"]),
        ("too many pictures asked for", ["--count", "1000000000000"]),
        ("a huge width", ["--width", "100000000"]),
        ("no denoising steps", ["--steps", "0"]),
        ("too many denoising steps", ["--steps", "1001"]),
        ("a guidance of NaN", ["--guidance-scale", "NaN"]),
        ("an odd width", ["--width", "63"]),
        ("an unknown scheduler", ["--scheduler", "heun"]),
        ("a share of noise above 1", ["--eta", "2"]),
    ] {
        messages.refused(case, cli.run(&["generate", "--prompt", "a cat", args[0], args[1]]));
    }
    // what it has are zeros, and takes no room on the disk
    fs::File::create(cli.path("model.safetensors")).unwrap().set_len(3 << 30).unwrap();
    let model = ["generate", "--prompt", "a cat", "--lora", "model.safetensors"];
    messages.refused("a whole model as LoRA", cli.run(&model));
    messages.refused("information on nothing", cli.run(&["info", "none"]));
    insta::assert_snapshot!(messages.0);
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_where_a_file_is_read_here_and_there() {
    let cli = Cli::new();
    let made = std::process::Command::new("mkfifo").arg(cli.path("pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    for (flag, file) in [("--embedding", "pipe"), ("--lora", "pipe"), ("--lora", "/dev/zero")] {
        let ran = cli.run(&["generate", "--prompt", "a cat", flag, file]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(&format!("`{file}` is a pipe or a device")), "{ran:?}");
    }
}

#[test]
fn bad_scorings() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    cli.concept("koala", "references");
    cli.concept("koala", "drawn");
    fs::create_dir(cli.path("empty")).unwrap();
    fs::write(cli.path("file.png"), png(64, 64)).unwrap();
    let in_folders = ["folders/a/a.png", "folders/a/b.png", "folders/b/a.png"];
    let in_one = ["sizes/a.png", "sizes/b.png", "small/a.png", "small/b.png", "broken/a.png"];
    for name in in_one.into_iter().chain(in_folders) {
        fs::create_dir_all(cli.path(name).parent().unwrap()).unwrap();
        let side = if name.starts_with("small") { 16 } else { 64 };
        fs::write(cli.path(name), png(side, if name.ends_with("b.png") { side + 8 } else { side }))
            .unwrap();
    }
    fs::write(cli.path("small/b.png"), png(16, 16)).unwrap();
    fs::write(cli.path("broken/a.png"), b"this is a text").unwrap();
    fs::write(cli.path("folders/b/a.png"), b"this is a text").unwrap();
    let fixtures = root().join("tests/fixtures");
    for (scorer, file) in [
        ("clip", "config.json"),
        ("dino", "config.json"),
        ("no-dino-pictures", "config.json"),
        ("lpips", "alex.safetensors"),
        ("other-lpips", "alexnet-owt-7be5be79.safetensors"),
    ] {
        fs::create_dir(cli.path(scorer)).unwrap();
        fs::write(cli.path(scorer).join(file), b"{").unwrap();
    }
    fs::write(cli.path("no-dino-pictures/config.json"), b"{}").unwrap();
    let lpips = fixtures.join("lpips");
    for (from, to) in [
        ("alex.safetensors", "other-lpips/alexnet-owt-7be5be79.safetensors"),
        ("alex.safetensors", "other-lpips/alex.safetensors"),
    ] {
        fs::copy(lpips.join(from), cli.path(to)).unwrap();
    }
    let lpips = lpips.to_str().unwrap();
    fs::create_dir(cli.path("run")).unwrap();
    fs::write(cli.path("run/config.toml"), "placeholder_token = '<a>'").unwrap();
    let unfinished =
        "placeholder_token = '<a>'\ninitializer_token = 'bear'\ntrain_data_dir = 'references'";
    fs::create_dir(cli.path("unfinished")).unwrap();
    fs::write(cli.path("unfinished/config.toml"), unfinished).unwrap();
    let against: &[&str] = &["--references", "references"];
    for (case, folder, more) in [
        ("no such folder", "nothing", against),
        ("a file", "file.png", against),
        ("a folder without pictures", "empty", against),
        ("no references", "drawn", &[]),
        ("no such references", "drawn", &["--references", "nothing"]),
        ("a broken picture", "broken", against),
        ("more prompts than fit", "drawn", &["--references", "references", "-p", "a", "-p", "b"]),
        ("pictures to draw of a folder", "drawn", &["--n-images-per-prompt", "2"]),
        ("no such scorer", "drawn", &["--references", "references", "--dino", "nothing"]),
        ("a broken CLIP", "drawn", &["--references", "references", "--clip", "clip"]),
        ("no CLIP", "drawn", &["--references", "references", "--clip", "empty"]),
        ("a broken DINO", "drawn", &["--references", "references", "--dino", "dino"]),
        ("no DINO", "drawn", &["--references", "references", "--dino", "empty"]),
        ("half a DINO", "drawn", &["--references", "references", "--dino", "no-dino-pictures"]),
        ("no LPIPS backbone", "drawn", &["--references", "references", "--lpips", "lpips"]),
        ("another network", "drawn", &["--references", "references", "--lpips", "other-lpips"]),
        ("unlike sizes", "sizes", &["--references", "references", "--lpips", lpips]),
        ("a broken one behind them", "folders", &["--references", "references", "--lpips", lpips]),
        ("too small for LPIPS", "small", &["--references", "references", "--lpips", lpips]),
        ("a run of no pictures", "run", &[]),
        ("a run with a prompt", "unfinished", &["--prompt", "a"]),
        ("a run without an embedding", "unfinished", &[]),
    ] {
        let args = [&["evaluate", folder, "--device", "cpu"], more].concat();
        messages.refused(case, cli.run(&args));
    }
    insta::assert_snapshot!(messages.0);
}

#[test]
fn bad_methods_and_evaluations() {
    let mut messages = Messages::default();
    let cli = Cli::with_pictures_of("koala");
    let train = |more: &[&str]| cli.train(&[&["-o", "run"][..], more].concat());
    for code in ["1111", "111111", "11112", ""] {
        messages.refused(&format!("exp_code `{code}`"), train(&["--exp-code", code]));
    }
    let triple = ["--triple", "--eval-batch-size", "8", "--eval-gradient-accumulation-steps", "42"];
    messages.refused("triple with too many inputs", train(&triple));
    fs::create_dir(cli.path("empty")).unwrap();
    let custom = ["--method", "custom-diffusion"];
    messages.refused("no class prompt", train(&custom));
    let blank = [&custom[..], &["--class-prompt", " "]].concat();
    messages.refused("a class prompt without a word", train(&blank));
    let class = ["--class-prompt", "bear", "--class-data-dir", "empty"];
    messages.refused("an empty class folder", train(&[&custom[..], &class].concat()));
    messages.refused("a CLIP that is none", train(&["--clip", "empty"]));
    messages.refused("an unknown method", train(&["--method", "hypernetwork"]));
    cli.copy_folder(&root().join("tests/fixtures/golden/models/tiny-sd"), "tiny-sd");
    let word = ["--model", "tiny-sd", "--initializer-token", "a"];
    let scored = [&word[..], &["--stopping", "clip-s"]].concat();
    messages.refused("scores without a scorer", train(&scored));
    let searched = [&word[..], &["--init-strategy", "best"]].concat();
    messages.refused("a search without a scorer", train(&searched));
    messages.refused("no file to start from", train(&["--init-strategy", "file"]));
    messages.refused(
        "a baseline that scores never",
        train(&["--stopping", "baseline", "--sample-frequency", "0"]),
    );
    messages.refused("a negative climb of SAM", train(&["--optimizer", "sam", "--sam-rho=-1"]));
    assert!(!cli.path("run").exists(), "nothing was begun");

    let lora = ["--method", "dreambooth-lora", "--max-train-steps", "1", "--num-samples", "1"];
    train(&lora).ok();
    let generate = |adapter: &str, model: &[&str]| {
        let base = ["generate", "--prompt", "a <umb>", "--embedding"];
        let rest = ["run/learned_embeds.safetensors", "--adapter", adapter, "-n", "1"];
        cli.run(&[&base[..], &rest[..], model].concat())
    };
    let adapter = cli.read("run/pytorch_lora_weights.safetensors");
    fs::write(cli.path("cut.safetensors"), &adapter[..adapter.len() / 2]).unwrap();
    messages.refused("an adapter cut off", generate("cut.safetensors", &[]));
    fs::write(cli.path("page.safetensors"), "<!DOCTYPE html>").unwrap();
    messages.refused("a web page as adapter", generate("page.safetensors", &[]));
    messages.refused("an embedding as adapter", generate("run/learned_embeds.safetensors", &[]));
    messages.refused("no adapter", generate("none.safetensors", &[]));
    messages.refused("nothing to merge", {
        cli.train(&["-o", "inversion", "--max-train-steps", "1", "--num-samples", "1"]).ok();
        cli.run(&["merge", "inversion"])
    });
    messages.refused("no run to merge", cli.run(&["merge", "pictures"]));
    insta::assert_snapshot!(messages.0);
}

/// ndarray computes in f32 alone.
#[cfg(feature = "ndarray")]
#[test]
fn backends_that_lack_a_type_are_refused() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    for precision in ["fp16", "bf16"] {
        let train = ["--device", "ndarray", "--mixed-precision", precision, "-o", "run"];
        let ran = cli.train(&train);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let dtype = precision.replace("fp", "f");
        let said = format!(
            "error: device `ndarray` does not compute in {dtype}; take `--mixed-precision no`\n"
        );
        assert_eq!(ran.stderr, said);
        assert!(!cli.path("run").exists(), "nothing is left behind");
    }
}
