//! Embeddings for other tools.

use std::fs;

use dvar::embedding::{self, LearnedEmbedding};
use safetensors::{Dtype, tensor::TensorView};

use crate::harness::Cli;

fn with_embedding() -> Cli {
    let cli = Cli::new();
    let learned = LearnedEmbedding::new("<my cat>", vec![0.5; 256], 2, 128).unwrap();
    fs::write(cli.path("cat.safetensors"), embedding::write(&learned)).unwrap();
    cli
}

#[test]
fn convert_writes_the_file_that_a_tool_reads_and_says_the_word() {
    let cli = with_embedding();
    let convert = |more: &[&str]| cli.run(&[&["convert"][..], more].concat());
    let said = convert(&["cat.safetensors", "--to", "a1111"]).ok();
    assert_eq!(said, "embedding  my-cat.pt\ntoken      `my-cat`, by the file's name\n");
    let said = convert(&["my-cat.pt=<dog>", "--to", "comfyui", "-o", "dog.safetensors"]).ok();
    assert!(said.ends_with("token      `embedding:dog`, by the file's name\n"), "{said}");
    fs::create_dir(cli.path("there")).unwrap();
    let said = convert(&["dog.safetensors=<dog>", "--to", "diffusers", "-o", "there"]).ok();
    assert_eq!(said, "embedding  there/dog.safetensors\ntoken      `<dog>`\n");
}

#[test]
fn convert_overwrites_nothing_and_wants_the_ending_that_the_tool_knows() {
    let cli = with_embedding();
    let before = cli.read("cat.safetensors");
    for (to, output, told) in [
        ("kohya", "cat.safetensors", "`cat.safetensors` exists already"),
        ("a1111", "cat.safetensors", "a1111 reads this embedding from a file that ends in `.pt`"),
        ("kohya", ".safetensors", "call it so"),
        ("comfyui", "my cat.safetensors", "`embedding:my cat` up to its first space"),
        ("comfyui", "cat[2].safetensors", "`embedding:cat[2]` up to its first space, `<` or `[`"),
    ] {
        let ran = cli.run(&["convert", "cat.safetensors", "--to", to, "-o", output]);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    let ran = cli.run(&["convert", "cat.safetensors= ", "--to", "diffusers"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("\" \" cannot be a placeholder token"), "{}", ran.stderr);
    assert_eq!(cli.read("cat.safetensors"), before);
    assert!(!cli.path("my cat.safetensors").exists());
}

#[test]
fn of_an_embedding_in_a_lora_that_cannot_be_converted_nothing_is_written() {
    let cli = Cli::new();
    let zeros = [0_u8; 64];
    let tensors = [
        ("bundle_emb.<cat>.string_to_param.*", vec![1, 4], &zeros[..16]),
        // PEFT has no name for a whole difference
        ("lora_unet_mid_block_attentions_0_proj_in.diff", vec![4, 4], &zeros[..]),
    ];
    let views = tensors
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape, bytes).unwrap()));
    let bundle = safetensors::serialize(views, None).unwrap();
    fs::write(cli.path("bundle.safetensors"), bundle).unwrap();
    let ran = cli.run(&["convert", "bundle.safetensors", "--to", "diffusers"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("`cat-lora.safetensors` cannot be written: "), "{ran:?}");
    assert!(!cli.path("cat.safetensors").exists() && ran.stdout.is_empty(), "{ran:?}");
    cli.run(&["convert", "bundle.safetensors", "--to", "kohya"]).ok();
    assert!(cli.path("cat.safetensors").exists() && cli.path("cat-lora.safetensors").exists());
}

#[test]
fn a_run_leaves_its_embedding_in_every_form_that_was_asked_for() {
    let cli = Cli::with_pictures_of("koala");
    let steps = ["--max-train-steps", "2", "--num-samples", "1"];
    let note = "fits the default model alone";
    let ran = cli.train(&[&["-o", "plain"][..], &steps].concat());
    assert!(!ran.stderr.contains(note), "{ran:?}");
    ran.ok();
    let formats =
        ["-o", "run", "--embedding-format", "a1111,kohya", "--embedding-format", "diffusers"];
    let ran = cli.train(&[&formats[..], &steps].concat());
    assert!(ran.stderr.contains(note), "no other tool has the default model: {ran:?}");
    ran.ok();
    let plain = cli.read("run/learned_embeds.safetensors");
    assert_eq!(plain, cli.read("plain/learned_embeds.safetensors"));
    assert_eq!(plain, cli.read("run/embeddings/diffusers/umb.safetensors"));
    let learned = embedding::read(&plain, "x").unwrap();
    for file in ["run/embeddings/a1111/umb.pt", "run/embeddings/kohya/umb.safetensors"] {
        let read = embedding::read(&cli.read(file), file).unwrap();
        assert_eq!(read.encoders(), learned.encoders(), "{file}");
    }
    // a word that is longer than a file's name may be
    let long = format!("<{}>", "cat".repeat(100));
    let word = ["-o", "long", "--placeholder-token", &long, "--embedding-format", "a1111"];
    cli.train(&[&word[..], &steps].concat()).ok();
    assert_eq!(fs::read_dir(cli.path("long/embeddings/a1111")).unwrap().count(), 1);
    let file = format!("{}.pt", "cat".repeat(100));
    let learned = "plain/learned_embeds.safetensors";
    let ran = cli.run(&["convert", learned, "--to", "a1111", "-o", &file]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(!cli.path("plain/embeddings").exists());
    let config = String::from_utf8(cli.read("plain/config.toml")).unwrap();
    assert!(!config.contains("embedding_format"));
}
