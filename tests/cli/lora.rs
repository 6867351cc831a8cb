//! LoRAs of any tool to draw with, and for any tool.

use std::fs;

use dvar::{concept::LearnedAdapter, data::decode::decode, embedding};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::harness::{Cli, Ran};

/// A small run of DreamBooth-LoRA with its files for other tools.
fn trained() -> Cli {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let method = ["--method", "dreambooth-lora", "--lora-format", "diffusers,kohya,bundle"];
    let steps = ["--max-train-steps", "3", "--learning-rate", "0.02", "--num-samples", "1"];
    cli.train(&[&method[..], &steps, &["-o", "run"]].concat()).ok();
    cli
}

fn draw(cli: &Cli, prompt: &str, output: &str, more: &[&str]) -> Ran {
    let base = ["generate", "--prompt", prompt, "-n", "1", "--steps", "2", "--device", "cpu"];
    cli.run(&[&base[..], &["-o", output], more].concat())
}

const OWN: &str = "run/pytorch_lora_weights.safetensors";
const KOHYA: &str = "run/loras/kohya/umb.safetensors";
const BUNDLE: &str = "run/loras/bundle/umb.safetensors";

#[test]
fn a_run_leaves_its_lora_in_every_form_and_each_draws_the_same() {
    let cli = trained();
    assert_eq!(cli.read(OWN), cli.read("run/loras/diffusers/umb.safetensors"));
    let words = ["--embedding", "run/learned_embeds.safetensors"];
    let picture = |output: &str, more: &[&str]| {
        draw(&cli, "a <umb>", output, more).ok();
        cli.read(&format!("{output}/0000.png"))
    };
    let adapted = picture("adapted", &[&words[..], &["--adapter", OWN]].concat());
    for (output, more) in [
        ("own", ["--lora", OWN]),
        ("kohya", ["--lora", KOHYA]),
        ("whole", ["--lora", "run/loras/bundle/umb.safetensors:1"]),
    ] {
        assert!(picture(output, &[&words[..], &more].concat()) == adapted, "{output}");
    }
    let bundled = picture("bundled", &["--embedding", BUNDLE, "--lora", BUNDLE]);
    assert!(bundled == adapted);
    let plain = picture("plain", &words);
    assert!(plain != adapted, "the LoRA changes the picture");
    let none = format!("{KOHYA}:0");
    assert!(picture("none", &[&words[..], &["--lora", &none]].concat()) == plain);
    let (half, other) = (format!("{KOHYA}:1.5"), format!("{OWN}:-1.5"));
    let both = picture("both", &[&words[..], &["--lora", &half, "--lora", &other]].concat());
    assert!(picture("one", &[&words[..], &["--lora", &half]].concat()) != plain);
    // one takes away what the other adds, but for rounding
    let [both, plain] = [both, plain].map(|png| decode(&png, "png").unwrap().into_rgb());
    let mut values = both.pixels().iter().zip(plain.pixels());
    assert!(values.all(|(both, plain)| both.abs_diff(*plain) <= 2));
}

#[test]
fn a_lora_draws_without_an_embedding_and_says_that_it_holds_one() {
    let cli = trained();
    draw(&cli, "an umbrella", "plain", &[]).ok();
    for (flag, file) in [("--lora", KOHYA), ("--adapter", OWN)] {
        let output = flag.trim_start_matches('-');
        let ran = draw(&cli, "an umbrella", output, &[flag, file]);
        assert!(ran.stderr.is_empty(), "{ran:?}");
        ran.ok();
        assert!(cli.read(&format!("{output}/0000.png")) != cli.read("plain/0000.png"));
    }
    let ran = draw(&cli, "an umbrella", "bundle", &["--lora", BUNDLE]);
    assert!(ran.stderr.contains("holds a learned embedding too"), "{ran:?}");
}

#[test]
fn info_tells_the_names_the_ranks_and_the_parts() {
    let cli = trained();
    let said = cli.run(&["info", KOHYA]).ok();
    assert!(
        said.starts_with("lora       run/loras/kohya/umb.safetensors\nformat     kohya\n"),
        "{said}"
    );
    assert!(said.contains(" of the denoiser: rank 4, alpha 4\n"), "{said}");
    let said = cli.run(&["info", OWN]).ok();
    assert!(said.contains("format     diffusers (PEFT)"), "{said}");
    let said = cli.run(&["info", BUNDLE]).ok();
    assert!(said.contains("token      <umb>\n") && said.contains("format     kohya\n"), "{said}");
}

#[test]
fn convert_writes_a_lora_for_other_tools_and_back() {
    let cli = trained();
    let said = cli.run(&["convert", OWN, "--to", "a1111"]).ok();
    assert_eq!(said, "lora       pytorch_lora_weights-a1111.safetensors\n");
    assert_eq!(cli.read("pytorch_lora_weights-a1111.safetensors"), cli.read(KOHYA));
    cli.run(&["convert", KOHYA, "--to", "diffusers", "-o", "back.safetensors"]).ok();
    assert_eq!(cli.read("back.safetensors"), cli.read(OWN));
    let again = cli.run(&["convert", KOHYA, "--to", "diffusers", "-o", "back.safetensors"]);
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("exists already"), "{again:?}");
    let named = format!("{KOHYA}=<cat>");
    for (file, output, told) in [
        (KOHYA, "back.pt", "a1111 reads this LoRA from a file that ends in `.safetensors`"),
        (named.as_str(), "new.safetensors", "only an embedding has a token; leave `=<cat>` out"),
    ] {
        let ran = cli.run(&["convert", file, "--to", "a1111", "-o", output]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(told) && !cli.path(output).exists(), "{ran:?}");
    }
    // of a bundle both parts
    let said = cli.run(&["convert", BUNDLE, "--to", "diffusers"]).ok();
    assert!(said.contains("embedding  umb.safetensors\n"), "{said}");
    assert!(said.contains("lora       umb-lora.safetensors\n"), "{said}");
    assert_eq!(cli.read("umb-lora.safetensors"), cli.read(OWN));
    let learned = cli.read("run/learned_embeds.safetensors");
    let read = |bytes: &[u8]| embedding::read(bytes, "x").unwrap();
    assert_eq!(read(&cli.read("umb.safetensors")), read(&learned));
}

/// Writes a file of such tensors, each of four zeros.
fn write_zeros(cli: &Cli, file: &str, tensors: &[(impl AsRef<str>, Vec<usize>)]) {
    let views = tensors.iter().map(|(name, shape)| {
        (name.as_ref(), TensorView::new(Dtype::F32, shape.clone(), &[0; 16]).unwrap())
    });
    fs::write(cli.path(file), safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn the_embedding_in_a_lora_of_numbered_layers_is_read_and_the_lora_is_told_of() {
    let cli = Cli::new();
    let layers = [("unet:0:down", vec![1, 4]), ("unet:0:up", vec![4, 1])];
    let tokens = [("<s1>", vec![4]), ("<s2>", vec![4])];
    write_zeros(&cli, "one.safetensors", &[&layers[..], &tokens[..1]].concat());
    write_zeros(&cli, "two.safetensors", &[&layers[..], &tokens].concat());
    let said = cli.run(&["info", "one.safetensors"]).ok();
    assert!(said.contains("token      <s1>\n"), "{said}");
    assert!(said.contains("lora       none that dvar draws by: "), "{said}");
    let ran = cli.run(&["convert", "one.safetensors", "--to", "kohya"]);
    assert!(ran.stderr.contains("note: the LoRA in it is left out: "), "{ran:?}");
    assert_eq!(ran.ok(), "embedding  s1.safetensors\ntoken      `s1`, by the file's name\n");
    let ran = cli.run(&["info", "two.safetensors"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("it numbers the layers that it changes"), "{ran:?}");
}

#[test]
fn what_lycoris_and_comfyui_name_is_told_and_converted_as_it_is_read() {
    let cli = Cli::new();
    let write = |file: &str, layers: &[&str]| {
        let pieces = layers.iter().flat_map(|layer| {
            [("down", vec![1, 4]), ("up", vec![4, 1])]
                .map(|(piece, shape)| (format!("{layer}.lora_{piece}.weight"), shape))
        });
        write_zeros(&cli, file, &pieces.collect::<Vec<_>>());
    };
    write("lycoris.safetensors", &["lycoris_down_blocks_1_attentions_0_proj_in"]);
    let said = cli.run(&["info", "lycoris.safetensors"]).ok();
    assert!(said.contains("format     LyCORIS\nlayers     1 of the denoiser"), "{said}");
    let twice =
        ["lora_unet_down_blocks_1_attentions_0_proj_in", "lora_unet_input_blocks_4_1_proj_in"];
    write("twice.safetensors", &twice);
    let said = cli.run(&["info", "twice.safetensors"]).ok();
    assert!(said.contains("layers     1 of the denoiser"), "{said}");
    let convert = |file: &str| cli.run(&["convert", file, "--to", "diffusers"]);
    let ran = convert("lycoris.safetensors");
    assert!(ran.stderr.is_empty(), "{ran:?}");
    ran.ok();
    convert("twice.safetensors").ok();
    let converted = cli.read("lycoris-diffusers.safetensors");
    assert_eq!(cli.read("twice-diffusers.safetensors"), converted);
    let table = "text_encoders.clip_l.transformer.text_model.embeddings.token_embedding";
    write("table.safetensors", &[table]);
    let ran = convert("table.safetensors");
    assert!(ran.stderr.contains("note: its layers of embedding tables"), "{ran:?}");
    assert_eq!(ran.ok(), "lora       table-diffusers.safetensors\n");
}

#[test]
fn whole_differences_are_told_and_converted_for_who_has_names_for_them() {
    let cli = Cli::new();
    let names = ["down_blocks_0_attentions_0_norm.w_norm", "conv_in.diff_b"];
    let tensors = names.map(|name| (format!("lora_unet_{name}"), vec![4]));
    write_zeros(&cli, "norms.safetensors", &tensors);
    let said = cli.run(&["info", "norms.safetensors"]).ok();
    assert!(said.ends_with("whole      2 weights, norms and biases of the denoiser\n"), "{said}");
    assert!(!said.contains("layers"), "{said}");
    let ran = cli.run(&["convert", "norms.safetensors", "--to", "comfyui"]);
    assert!(ran.stderr.contains("note: its whole differences"), "{ran:?}");
    assert_eq!(ran.ok(), "lora       norms-comfyui.safetensors\n");
    let written = cli.read("norms-comfyui.safetensors");
    let written = SafeTensors::deserialize(&written).unwrap();
    let mut names = written.names();
    names.sort();
    let want = ["lora_unet_conv_in.diff_b", "lora_unet_down_blocks_0_attentions_0_norm.diff"];
    assert_eq!(names, want);
    let ran = cli.run(&["convert", "norms.safetensors", "--to", "diffusers"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("`norms-diffusers.safetensors` cannot be written: "), "{ran:?}");
    assert!(!cli.path("norms-diffusers.safetensors").exists());
}

#[test]
fn a_lora_in_a_wrong_place_and_a_wrong_lora_are_told_so() {
    let cli = trained();
    let refused = |ran: Ran, told: &[&str]| {
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(told.iter().all(|told| ran.stderr.contains(told)), "{ran:?}");
    };
    let word = ["generate", "--prompt", "a <umb>"];
    let lora = ["it is a LoRA", "`dvar generate --lora FILE` draws with it, or says why not"];
    refused(cli.run(&[&word[..], &["--embedding", KOHYA]].concat()), &lora);
    refused(cli.run(&[&word[..], &["--model", KOHYA]].concat()), &lora);
    refused(draw(&cli, "a <lora:umb:1>", "x", &[]), &["give the file with `--lora FILE:0.8`"]);
    let loud = format!("{KOHYA}:loud");
    refused(draw(&cli, "an umbrella", "x", &["--lora", &loud]), &["`loud`, which is no number"]);
    refused(draw(&cli, "an umbrella", "x", &["--lora", "none.pt:2"]), &["cannot read `none.pt`"]);
    let words = "run/learned_embeds.safetensors";
    refused(
        draw(&cli, "an umbrella", "x", &["--lora", words]),
        &["cannot use the adapter", "`<umb>` is no tensor of a LoRA"],
    );
    refused(
        cli.train(&["-o", "more", "--max-train-steps", "1", "--lora-format", "kohya"]),
        &["option `lora_format` is `kohya`", "`dreambooth-lora`"],
    );
    assert!(!cli.path("more").exists() && !cli.path("x").exists(), "nothing was begun");
    let LearnedAdapter::Lora(own) = LearnedAdapter::from_bytes(&cli.read(OWN), OWN).unwrap() else {
        panic!("a LoRA")
    };
    let bytes = own.to_kohya(None).unwrap();
    let foreign = String::from_utf8_lossy(&bytes).contains("lora_unet_mid_block");
    assert!(foreign, "the name is there to be replaced");
    let name = |bytes: &[u8]| bytes.starts_with(b"lora_unet_mid_block");
    let mut bytes = bytes;
    while let Some(at) = bytes.windows(19).position(name) {
        bytes[at..at + 19].copy_from_slice(b"lora_unet_mid_blocc");
    }
    fs::write(cli.path("foreign.safetensors"), bytes).unwrap();
    refused(
        draw(&cli, "an umbrella", "x", &["--lora", "foreign.safetensors"]),
        &[
            "`foreign.safetensors` does not fit this model: `lora_unet_mid_blocc",
            "such layers among",
        ],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_that_is_given_as_a_lora_is_told_by_its_names_and_takes_no_memory() {
    let cli = Cli::new();
    let header = r#"{"model.diffusion_model.out.2.weight":
        {"dtype":"F16","shape":[1000000000],"data_offsets":[0,2000000000]}}"#;
    let length = header.len() as u64;
    fs::write(cli.path("a.safetensors"), [&length.to_le_bytes(), header.as_bytes()].concat())
        .unwrap();
    // its values are zeros, and take no room on the disk
    let file = fs::File::options().write(true).open(cli.path("a.safetensors")).unwrap();
    file.set_len(8 + length + 2_000_000_000).unwrap();
    let args = ["generate", "-p", "a cat", "--lora", "a.safetensors"];
    let ran = cli.run_within(3_000_000, &args);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("out.2.weight` is no tensor of a LoRA"), "{ran:?}");
}
