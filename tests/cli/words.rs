//! Prompts with learned words.

use std::fs;

use dvar::embedding::{self, EmbeddingFormat, LearnedEmbedding};

use crate::harness::{Cli, Ran};

/// Embeddings as wide as the default model's, of one and of two vectors.
fn with_embeddings() -> Cli {
    let cli = Cli::new();
    let write = |file: &str, token: &str, count: usize, format: EmbeddingFormat| {
        let values = (0..count * 128).map(|i| (i % 7) as f32 / 7.0 - 0.5).collect();
        let learned = LearnedEmbedding::new(token, values, count, 128).unwrap();
        fs::write(cli.path(file), &format.write(&learned)[0].bytes).unwrap();
        assert_eq!(embedding::read(&cli.read(file), file).unwrap().num_vectors(), count);
    };
    write("cat.safetensors", "<cat>", 1, EmbeddingFormat::Diffusers);
    write("hands.pt", "badhandV4", 2, EmbeddingFormat::A1111);
    write("star.pt", "*", 1, EmbeddingFormat::A1111);
    write("spaces.pt", "my old cat", 1, EmbeddingFormat::A1111);
    write("umbrella.safetensors", "umbrella", 1, EmbeddingFormat::Kohya);
    cli
}

fn generate(cli: &Cli, more: &[&str]) -> Ran {
    let base = ["generate", "-n", "1", "--steps", "1", "--device", "cpu"];
    cli.run(&[&base[..], more].concat())
}

fn refused(cli: &Cli, more: &[&str]) -> String {
    let ran = generate(cli, more);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    ran.stderr
}

#[test]
fn several_embeddings_serve_prompts_and_the_negative_prompt_in_any_case() {
    let cli = with_embeddings();
    let files = ["-e", "cat.safetensors", "-e", "hands.pt", "-e", "star.pt=<star>"];
    let prompts = ["-p", "a <CAT>", "-p", "<star> and <cat>", "--negative-prompt", "badhandv4"];
    generate(&cli, &[&files[..], &prompts, &["-o", "drawn"]].concat()).ok();
    let said = refused(&cli, &[&files[..], &prompts[..4]].concat());
    assert!(said.contains("no prompt contains `badhandV4`, the token of `hands.pt`"), "{said}");
    let alone = |prompt: &str, folder: &str| {
        generate(&cli, &["-p", prompt, "-e", "cat.safetensors", "-o", folder]).ok();
        cli.read(&format!("{folder}/0000.png"))
    };
    let one = alone("a <cat>", "one");
    assert_eq!(alone("a <CAT>", "upper"), one);
    let both = ["-e", "hands.pt", "-e", "cat.safetensors", "-p", "a <cat>", "-p", "badhandv4"];
    generate(&cli, &[&both[..], &["-o", "both"]].concat()).ok();
    assert_eq!(cli.read("both/0000.png"), one, "each word has its own vectors");
    assert_ne!(cli.read("drawn/0000.png"), one, "the word of the negative prompt counts");
}

#[test]
fn a_word_that_cannot_be_used_is_usable_under_another() {
    let cli = with_embeddings();
    for (file, prompt) in
        [("star.pt", "a *"), ("spaces.pt", "my old cat"), ("umbrella.safetensors", "an umbrella")]
    {
        let said = refused(&cli, &["-e", file, "-p", prompt]);
        assert!(said.contains(&format!("`--embedding {file}=<another-word>`")), "{said}");
        let renamed = format!("{file}=<New>");
        generate(&cli, &["-e", &renamed, "-p", "a <new>", "-o", file.split('.').next().unwrap()])
            .ok();
    }
    let said = refused(&cli, &["-e", "cat.safetensors", "-e", "star.pt=<cat>", "-p", "a <cat>"]);
    assert!(said.contains("already is the token") && said.contains("star.pt="), "{said}");
}

#[test]
fn a_prompt_that_is_cut_is_said_with_the_words_that_it_loses() {
    let cli = with_embeddings();
    let long = format!("{}<cat>", "a photo of a koala, ".repeat(30));
    let args = ["-e", "cat.safetensors", "-p", &long];
    let cut = generate(&cli, &[&args[..], &["-o", "cut"]].concat());
    assert!(cut.stderr.contains("with its end `<cat>` is lost"), "{cut:?}");
    let without = long.replace("<cat>", "");
    let other = generate(&cli, &["-p", &without, "-o", "without"]);
    assert!(other.stderr.contains("are drawn; shorten it"), "{other:?}");
    assert_eq!(cli.read("cut/0000.png"), cli.read("without/0000.png"));

    let chunks = [&args[..], &["--long-prompts", "chunk", "-o", "chunks"]].concat();
    let whole = generate(&cli, &chunks);
    assert!(!whole.stderr.contains("warning"), "{whole:?}");
    assert_ne!(cli.read("chunks/0000.png"), cli.read("cut/0000.png"));
    // a short one is the same either way
    for (how, folder) in [("cut", "short-cut"), ("chunk", "short-chunk")] {
        generate(&cli, &["-p", "a koala", "--long-prompts", how, "-o", folder]).ok();
    }
    assert_eq!(cli.read("short-cut/0000.png"), cli.read("short-chunk/0000.png"));
}

#[test]
fn what_other_tools_write_into_prompts_is_understood_or_refused() {
    let cli = with_embeddings();
    let cat = ["-e", "cat.safetensors"];
    for (prompt, folder) in [("a <cat>, old", "plain"), ("a embedding:cat, old", "named")] {
        generate(&cli, &[&cat[..], &["-p", prompt, "-o", folder]].concat()).ok();
    }
    assert_eq!(cli.read("plain/0000.png"), cli.read("named/0000.png"));
    // a file's name as macOS' Finder writes it, and the same from a keyboard
    fs::copy(cli.path("cat.safetensors"), cli.path("mu\u{308}ller.safetensors")).unwrap();
    let named = ["-e", "mu\u{308}ller.safetensors", "-p", "a embedding:m\u{fc}ller, old"];
    generate(&cli, &[&named[..], &["-o", "finder"]].concat()).ok();
    assert_eq!(cli.read("plain/0000.png"), cli.read("finder/0000.png"));
    for (prompt, told) in [
        ("a (<cat>:1.2)", "`(<cat>:1.2)` weighs words"),
        ("a <cat> <lora:ink:0.8>", "`<lora:ink:0.8>` in a prompt loads nothing here"),
        ("a <cat> embedding:dog", "`embedding:dog` stands in a prompt"),
    ] {
        let args = [&cat[..], &["-p", prompt]].concat();
        let said = refused(&cli, &args);
        assert!(said.contains(told) && said.contains("--literal-prompts"), "{said}");
        generate(&cli, &[&args[..], &["--literal-prompts"]].concat()).ok();
    }
}

#[test]
fn a_run_is_evaluated_with_further_embeddings() {
    let cli = with_embeddings();
    cli.concept("koala", "pictures");
    cli.train(&["-o", "run", "--max-train-steps", "1", "--num-samples", "2"]).ok();
    let evaluate = |more: &[&str]| {
        let ran = cli.run(&[&["evaluate", "run", "--device", "cpu", "--json"], more].concat());
        serde_json::from_str::<serde_json::Value>(&ran.ok()).unwrap()["clip_i"].clone()
    };
    let own = evaluate(&[]);
    assert_eq!(evaluate(&["--n-images-per-prompt", "2"]), own, "the same pictures, drawn anew");
    let hands = ["--embedding", "hands.pt", "--negative-prompt", "badhandv4"];
    assert_ne!(evaluate(&hands), own);
    assert_ne!(evaluate(&["--embedding", "cat.safetensors=<umb>"]), own, "in place of its own");
    let ran = cli.run(&["evaluate", "run", "--device", "cpu", "--embedding", "hands.pt"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("no prompt contains `badhandV4`"), "{ran:?}");

    let weighted = ["evaluate", "run", "--device", "cpu", "--negative-prompt", "(bad:1.3)"];
    let ran = cli.run(&weighted);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let told = "`(bad:1.3)` weighs words, which dvar does not";
    assert!(ran.stderr.contains(told) && ran.stderr.contains("--literal-prompts"), "{ran:?}");
    cli.run(&[&weighted[..], &["--literal-prompts"]].concat()).ok();
    let named = ["--embedding", "hands.pt", "--negative-prompt", "embedding:hands"];
    assert_eq!(evaluate(&named), evaluate(&hands), "as `dvar generate` understands it");
}

#[test]
fn a_word_with_control_characters_reaches_no_terminal() {
    let cli = Cli::new();
    let word = "<cat\u{1b}]0;mine\u{7}>";
    let learned = LearnedEmbedding::new(word, vec![0.5; 128], 1, 128).unwrap();
    fs::write(cli.path("cat.safetensors"), embedding::write(&learned)).unwrap();
    let said = cli.run(&["info", "cat.safetensors"]).ok();
    assert!(said.contains("token      <cat\u{fffd}]0;mine\u{fffd}>"), "{said:?}");
    let told = refused(&cli, &["-e", "cat.safetensors", "-p", "a dog"]);
    assert!(told.contains("<cat\u{fffd}") && !told.contains('\u{1b}'), "{told:?}");
}
