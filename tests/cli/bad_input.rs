//! Every way in which input can be bad gives one clear message and exit code 2, and never a
//! panic. The messages are kept in `snapshots/`: read them when they change.

use std::{fmt::Write as _, fs};

use crate::harness::{Cli, Ran, root};

/// Collects messages for one snapshot.
#[derive(Default)]
struct Messages(String);

impl Messages {
    fn refused(&mut self, case: &str, ran: Ran) {
        assert_eq!(ran.code, Some(2), "{case}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{case}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{case}: {ran:?}");
        writeln!(self.0, "{case}\n    {}", ran.stderr.trim_end()).unwrap();
    }
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let pixels = vec![90; (width * height * 3) as usize];
    dvar::data::png::encode_png(width as usize, height as usize, &pixels).unwrap()
}

/// A PNG header that claims a size, with no pixels behind it.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut file = png(16, 16);
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&file[12..29]);
    file[29..33].copy_from_slice(&checksum.to_be_bytes());
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (!(crc & 1)).wrapping_add(1))
        })
    })
}

#[test]
fn bad_pictures() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    messages.refused("no such folder", cli.train(&[]));
    fs::write(cli.path("pictures"), "").unwrap();
    messages.refused("a file instead of a folder", cli.train(&[]));
    fs::remove_file(cli.path("pictures")).unwrap();
    fs::create_dir(cli.path("pictures")).unwrap();
    messages.refused("an empty folder", cli.train(&[]));
    fs::write(cli.path("pictures/notes.txt"), "hello").unwrap();
    messages.refused("a folder without pictures", cli.train(&[]));
    let good = png(64, 64);
    let mut corrupt = good.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle..middle + 8].fill(0xAA);
    for (case, bytes) in [
        ("a corrupt picture", corrupt),
        ("a truncated picture", good[..good.len() / 2].to_vec()),
        ("a picture of no bytes", Vec::new()),
        ("a picture of 1 x 1", png(1, 1)),
        ("a text named .png", b"this is a text".to_vec()),
        ("a header of 30,000 x 30,000", png_header(30_000, 30_000)),
    ] {
        fs::write(cli.path("pictures/a.png"), bytes).unwrap();
        messages.refused(case, cli.train(&[]));
    }
    insta::assert_snapshot!(messages.0);
}

#[test]
fn bad_options() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    for (case, args) in [
        ("a placeholder that is a token", ["--placeholder-token", "umbrella"]),
        ("an empty placeholder", ["--placeholder-token", ""]),
        ("a placeholder that splits", ["--placeholder-token", "<my cat>"]),
        ("a huge batch", ["--train-batch-size", "100000000"]),
        ("a huge resolution", ["--resolution", "100000"]),
        ("a seed that no file can hold", ["--seed", "18446744073709551615"]),
        ("a validation prompt without the concept", ["--validation-prompt", "a photo"]),
        ("an initializer of several tokens", ["--initializer-token", "blue umbrella"]),
        ("an initializer that is empty", ["--initializer-token", ""]),
        ("window 0", ["--window", "0"]),
        ("window 1", ["--window", "1"]),
        ("a negative threshold", ["--threshold=-0.1", "--seed=0"]),
        ("a threshold of NaN", ["--threshold", "NaN"]),
        ("a threshold of 1", ["--threshold", "1"]),
        ("a threshold above 1", ["--threshold", "1.5"]),
        ("batch 0", ["--train-batch-size", "0"]),
        ("a learning rate of NaN", ["--learning-rate", "NaN"]),
        ("a learning rate of 0", ["--learning-rate", "0"]),
        ("no steps", ["--max-train-steps", "0"]),
        ("an odd resolution", ["--resolution", "63"]),
        ("an unknown schedule", ["--lr-scheduler", "cosin"]),
    ] {
        let ran = cli.train(&args);
        messages.refused(case, ran);
    }
    // the known devices depend on the build's features, so this one is no snapshot
    let ran = cli.train(&["--device", "tpu"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.starts_with("error: unknown device `tpu`; this build knows auto, "),
        "{ran:?}"
    );
    insta::assert_snapshot!(messages.0);
}

#[test]
fn bad_configurations() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    messages.refused("nothing said", cli.run(&["train"]));
    for (case, text) in [
        ("an unknown key", "windw = 3"),
        ("a value of another type", "window = \"many\""),
        ("no TOML at all", "{ \"window\": 3 }"),
    ] {
        fs::write(cli.path("bad.toml"), text).unwrap();
        messages.refused(case, cli.run(&["train", "--config", "bad.toml"]));
    }
    fs::write(
        cli.path("bad.toml"),
        format!(
            "{}num_inference_steps = 5000",
            crate::harness::SMALL.replace("num_inference_steps = 1", "")
        ),
    )
    .unwrap();
    messages.refused(
        "more denoising steps than steps of training",
        cli.train(&["--config", "bad.toml"]),
    );
    messages.refused("no such configuration", cli.run(&["train", "--config", "none.toml"]));
    messages.refused("resuming what is no run", cli.run(&["train", "--resume", "pictures"]));
    messages.refused(
        "resuming with other options",
        cli.run(&["train", "--resume", "pictures", "--seed", "1"]),
    );
    insta::assert_snapshot!(messages.0);
}

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

#[test]
fn bad_outputs() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    messages.refused("an output folder that exists", cli.train(&["-o", "pictures"]));
    messages.refused("an output folder that is a file", cli.train(&["-o", "small.toml"]));
    // a folder of the kernel's, where not even root can create one
    messages
        .refused("an output folder that cannot be written", cli.train(&["-o", "/proc/dvar-run"]));
    messages.refused("an output folder below a file", cli.train(&["-o", "small.toml/run"]));
    insta::assert_snapshot!(messages.0);
}

/// A limit on the size of written files stands in for a disk that is full: the write fails midway.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_half_written_file() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    let train = crate::harness::train_args(&["-o", "run"]).join("' '");
    let script =
        format!("trap '' XFSZ; ulimit -f 4; exec '{}' '{train}'", env!("CARGO_BIN_EXE_dvar"));
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(cli.path("."))
        .output()
        .unwrap();
    let ran = cli.ran(output);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("cannot write `run/samples_before.png`"), "{ran:?}");
    let left: Vec<_> =
        fs::read_dir(cli.path("run")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("samples")), "{left:?}");
}

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
    messages.refused("information on nothing", cli.run(&["info", "none"]));
    insta::assert_snapshot!(messages.0);
}

#[test]
fn bad_scorings() {
    let mut messages = Messages::default();
    let cli = Cli::new();
    cli.concept("koala", "references");
    cli.concept("koala", "drawn");
    fs::create_dir(cli.path("empty")).unwrap();
    fs::write(cli.path("file.png"), png(64, 64)).unwrap();
    for name in ["sizes/a.png", "sizes/b.png", "small/a.png", "small/b.png", "broken/a.png"] {
        fs::create_dir_all(cli.path(name).parent().unwrap()).unwrap();
        let side = if name.starts_with("small") { 16 } else { 64 };
        fs::write(cli.path(name), png(side, if name.ends_with("b.png") { side + 8 } else { side }))
            .unwrap();
    }
    fs::write(cli.path("small/b.png"), png(16, 16)).unwrap();
    fs::write(cli.path("broken/a.png"), b"this is a text").unwrap();
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
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    let train = |more: &[&str]| cli.train(&[&["-o", "run"][..], more].concat());
    for code in ["1111", "111111", "11112", ""] {
        messages.refused(&format!("exp_code `{code}`"), train(&["--exp-code", code]));
    }
    let triple = ["--triple", "--eval-batch-size", "8", "--eval-gradient-accumulation-steps", "42"];
    messages.refused("triple with too many inputs", train(&triple));
    fs::create_dir(cli.path("empty")).unwrap();
    let custom = ["--method", "custom-diffusion"];
    messages.refused("no class prompt", train(&custom));
    let class = ["--class-prompt", "bear", "--class-data-dir", "empty"];
    messages.refused("an empty class folder", train(&[&custom[..], &class].concat()));
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
    let cli = Cli::new();
    cli.concept("blue-umbrella", "pictures");
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
