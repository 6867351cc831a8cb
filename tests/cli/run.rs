//! The main job from end to end.

use std::fs;

use crate::harness::{Cli, golden, initializer, train_args};

#[test]
fn train_stops_by_dvar_and_leaves_what_generate_and_info_read() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let stop = ["-o", "run", "--window", "2", "--threshold", "0.99", "--max-train-steps", "40"];
    let said = cli.train(&[&stop[..], &["--embedding-format", "a1111,comfyui"]].concat()).ok();
    assert!(said.contains("CLIP-I"), "{said}");
    // what is found, where it belongs and what is typed then; the stop before the last samples
    let told = [
        "stop       DVAR stopped after",
        "run/embeddings/a1111/umb.pt, for A1111's folder `embeddings`; in prompts `umb`",
        "for ComfyUI's folder `models/embeddings`; in prompts `embedding:umb`",
        "draw       dvar generate --embedding run/learned_embeds.safetensors --prompt \"a photo of",
    ];
    let told = told.map(|told| said.find(told).unwrap_or_else(|| panic!("{told}: {said}")));
    assert!(told.is_sorted(), "{said}");
    for file in [
        "config.toml",
        "learned_embeds.safetensors",
        "metrics.jsonl",
        "curve.svg",
        "samples_before.png",
        "samples_after.png",
        "state/state.safetensors",
    ] {
        assert!(cli.path("run").join(file).is_file(), "{file} is missing");
    }
    let metrics = fs::read_to_string(cli.path("run/metrics.jsonl")).unwrap();
    assert!(metrics.lines().count() < 40, "it stopped early");
    assert!(metrics.lines().last().unwrap().contains("\"ratio\":"));

    let embedding = "run/learned_embeds.safetensors";
    let said = cli
        .run(&[
            "generate",
            "--embedding",
            embedding,
            "--prompt",
            "two <umb>",
            "-n",
            "2",
            "--steps",
            "2",
        ])
        .ok();
    assert!(said.starts_with("2 pictures"), "{said}");
    assert!(cli.path("generated/0001.png").is_file() && cli.path("generated/grid.png").is_file());

    assert!(cli.run(&["info", embedding]).ok().contains("<umb>"));
    assert!(cli.run(&["info", "run"]).ok().contains("DVAR stopped"));
    // such as the folder of several runs
    let ran = cli.run(&["info", "pictures"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("`pictures` is the folder of neither a run"), "{ran:?}");
    let model = cli.run(&["info", "embedded"]).ok();
    assert!(model.contains("64 x 64 pixels"), "{model}");
    for advised in [
        "window = 30\n",
        "learning_rate = 0.001, for dreambooth-lora\n",
        "learning_rate = 0.003, for custom-diffusion\n",
        "window = 38, for dvar\n",
    ] {
        assert!(model.contains(&format!("advises    {advised}")), "{model}");
    }
    let lines = model.lines().filter(|line| line.starts_with("advises "));
    assert!(lines.clone().all(|line| !line.ends_with(", for plateau")), "{model}");
    assert!(lines.clone().all(|line| !line.ends_with(", for clip-s")), "{model}");
    assert!(cli.run(&["devices"]).ok().contains("cpu"));
}

#[test]
fn every_file_and_every_key_of_a_run_is_explained() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let files =
        ["--method", "dreambooth-lora", "--lora-format", "bundle", "--logger", "tensorboard"];
    let keys = ["--triple", "--each-input", "--clip-t", "--log-unscaled", "--save-init-embeds"];
    let more = ["-o", "run", "--sample-frequency", "4", "--embedding-format", "kohya"];
    cli.train(&[&files[..], &keys, &more, &["--mixed-precision", "fp16"]].concat()).ok();

    let pages = [include_str!("../../README.md"), include_str!("../../docs/formats.md")].concat();
    let files = fs::read_dir(cli.path("run")).unwrap();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut records = cli.metrics("run");
    records.extend(["run/result.json", "run/timing.json"].map(|file| cli.json(file)));
    let keys = records.iter().flat_map(|record| record.as_object().unwrap().keys().cloned());
    for name in files.chain(keys) {
        // a folder has a slash behind it
        let named = [format!("`{name}`"), format!("`{name}/")];
        assert!(named.iter().any(|named| pages.contains(named)), "{name}");
    }
}

#[test]
fn a_run_gives_the_same_bytes_on_any_number_of_threads() {
    let cli = Cli::with_pictures_of("blue-umbrella");
    let run = |threads: &str| {
        let run = format!("on-{threads}");
        let more = ["-o", &run, "--train-batch-size", "3", "--eval-batch-size", "2"];
        let mut command = cli.command(&train_args(&more));
        cli.ran(command.env("RAYON_NUM_THREADS", threads).output().unwrap()).ok();
        ["metrics.jsonl", "learned_embeds.safetensors", "samples_after.png"]
            .map(|file| cli.read(&format!("{run}/{file}")))
    };
    assert!(run("1") == run("3"));
}

#[test]
fn the_saved_config_repeats_the_run_byte_for_byte() {
    let cli = Cli::with_pictures_of("koala");
    cli.train(&["-o", "one", "--seed", "5"]).ok();
    cli.run(&["train", "--config", "one/config.toml", "-o", "two", "--device", "cpu"]).ok();
    for file in [
        "learned_embeds.safetensors",
        "metrics.jsonl",
        "state/state.safetensors",
        "samples_after.png",
    ] {
        assert_eq!(cli.read(&format!("one/{file}")), cli.read(&format!("two/{file}")), "{file}");
    }
}

#[test]
fn a_model_folder_of_any_size_trains() {
    let cli = Cli::with_pictures_of("teal-robot");
    let tiny_sd = golden().join("models/tiny-sd");
    let word = initializer("clip");
    let said = cli.run(&[
        "train",
        "--config",
        "small.toml",
        "--train-data-dir",
        "pictures",
        "--placeholder-token",
        "<new>",
        "--initializer-token",
        &word,
        "-o",
        "run",
        "--device",
        "cpu",
        "--model",
        tiny_sd.to_str().unwrap(),
        "--num-vectors",
        "2",
    ]);
    let said = said.ok();
    assert!(said.contains("2 vectors") && !said.contains("CLIP-I"), "{said}");
}

#[test]
fn the_sheet_of_many_pictures_holds_the_first() {
    let cli = Cli::new();
    let tiny_sd = golden().join("models/tiny-sd");
    let model = ["generate", "--model", tiny_sd.to_str().unwrap(), "--scheduler", "ddim"];
    let many = ["-p", "a cat", "-n", "257", "--steps", "1", "--guidance-scale", "1"];
    let said = cli.run(&[&model[..], &many, &["--device", "cpu", "-o", "drawn"]].concat()).ok();
    let told = "257 pictures in drawn, the first 256 together in drawn/grid.png";
    assert!(said.contains(told), "{said}");
    let [sheet, last] = ["drawn/grid.png", "drawn/0256.png"]
        .map(|file| dvar::data::decode::decode(&cli.read(file), file).unwrap());
    assert_eq!(sheet.height(), 32 * (last.height() + 2) - 2);
}

#[test]
fn a_criterion_that_can_never_stop_is_said_to() {
    let cli = Cli::with_pictures_of("koala");
    let said = cli.train(&["-o", "watch", "--max-train-steps", "2"]).ok();
    assert!(said.contains("a threshold of 0 only watches"), "{said}");
    let said = cli
        .train(&["-o", "long", "--max-train-steps", "2", "--threshold", "0.3", "--window", "9"])
        .ok();
    assert!(said.contains("it needs at least 10 evaluations and gets 2"), "{said}");
    let scored = ["--stopping", "clip-s", "--sample-frequency", "1", "--num-samples", "1"];
    let steps = ["-o", "scored", "--max-train-steps", "1", "--patience", "3"];
    let said = cli.train(&[&scored[..], &steps].concat()).ok();
    assert!(said.contains("it needs at least 5 scores and gets 1"), "{said}");
}

#[test]
fn bench_reports_every_phase() {
    let said = Cli::new()
        .run(&["bench", "--steps", "1", "--train-batch-size", "1", "--json", "--device", "cpu"])
        .ok();
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    for phase in ["text_encoder", "unet_forward", "backward", "optimizer", "evaluation"] {
        assert!(report["phases_ms"][phase].as_f64().unwrap() > 0.0, "{said}");
    }
}

#[test]
fn a_folder_of_pictures_is_enough() {
    let cli = Cli::new();
    cli.concept("blue-umbrella", "My Umbrella");
    let args = ["train", "My Umbrella", "--config", "small.toml", "--device", "cpu", "-o", "run"];
    let said = cli.run(&args).ok();
    assert!(said.contains("<my-umbrella> from the word of the lowest loss"), "{said}");
    assert_eq!(cli.json("run/result.json")["initializer_token"], "umbrella");
    assert!(said.contains("words      `umbrella` of 125"), "{said}");
    let twice = cli.run(&["train", "My Umbrella", "--train-data-dir", "My Umbrella"]);
    assert_eq!(twice.code, Some(2), "{twice:?}");
}

#[test]
fn a_run_in_the_working_folder_is_called_by_its_name_in_the_log() {
    let cli = Cli::new();
    let pictures = cli.concept("koala", "pictures");
    let (small, folder) = (cli.path("small.toml"), cli.path("the-eighth-koala"));
    fs::create_dir(&folder).unwrap();
    let pictures = ["train", pictures.to_str().unwrap(), "--config", small.to_str().unwrap()];
    let few = ["--initializer-token", "bear", "--max-train-steps", "1", "--num-samples", "1"];
    let rest = ["--logger", "wandb", "--device", "cpu", "-o", "."];
    let mut command = cli.command(&[&pictures[..], &few, &rest].concat());
    cli.ran(command.current_dir(&folder).output().unwrap()).ok();
    let of = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path();
    let run = of(fs::read_dir(folder.join("logs/wandb")).unwrap().next().unwrap());
    let logs = fs::read_dir(run).unwrap().map(of).filter(|file| file.is_file());
    let log = fs::read(logs.last().unwrap()).unwrap();
    assert!(log.windows(16).any(|bytes| bytes == b"the-eighth-koala"));
}

#[test]
fn a_flag_that_does_nothing_in_a_run_is_told_with_the_reason() {
    let cli = Cli::with_pictures_of("koala");
    let few = ["--stopping", "few-iters", "--max-train-steps", "1", "--num-samples", "1", "-o"];
    let ran = cli.train(&[&few[..], &["told", "--lora-rank", "8", "--window", "5"]].concat());
    let told: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("warning")).collect();
    assert_eq!(told.len(), 2, "{ran:?}");
    let lora = "warning: `--lora-rank` does nothing here: it is for the method `dreambooth-lora`";
    assert!(told.contains(&lora) && told[1].starts_with("warning: `--window` "), "{ran:?}");
    ran.ok();
    // the file has a window too, and so has the run's own
    let quiet = cli.train(&[&few[..], &["quiet"]].concat());
    assert!(!quiet.stderr.contains("does nothing"), "{quiet:?}");
    quiet.ok();
    // of the file's threshold, which nothing asks, the curve shows nothing
    let curve = String::from_utf8(cli.read("quiet/curve.svg")).unwrap();
    assert!(!curve.contains("threshold"), "{curve}");
    let again = cli.run(&["train", "--config", "told/config.toml", "--device", "cpu"]);
    assert!(!again.stderr.contains("does nothing"), "{again:?}");
    again.ok();
}

#[test]
fn a_flag_that_does_nothing_in_a_drawing_is_told_with_the_reason() {
    let cli = Cli::new();
    let draw = |scheduler, scale, output| {
        let flags = ["--eta", "0.5", "--negative-prompt", "a dog", "--scheduler", scheduler];
        let rest = ["--guidance-scale", scale, "-p", "a cat", "-n", "1", "--steps", "1"];
        let to = ["--device", "cpu", "-o", output];
        cli.run(&[&["generate"], &flags[..], &rest, &to].concat())
    };
    let told = draw("euler", "1", "told");
    for flag in ["eta", "negative-prompt"] {
        let warning = format!("warning: `--{flag}` does nothing here: ");
        assert!(told.stderr.contains(&warning), "{told:?}");
    }
    told.ok();
    let heard = draw("ddim", "2", "heard");
    assert!(heard.stderr.is_empty(), "{heard:?}");
    heard.ok();
}

#[test]
fn a_model_whose_own_sampler_is_not_here_is_drawn_by_another_which_is_told() {
    let cli = Cli::with_pictures_of("koala");
    let model = cli.copy_model("some-xl-turbo");
    // it advises a sampler
    fs::remove_file(model.join("dvar.toml")).unwrap();
    let file = "some-xl-turbo/scheduler/scheduler_config.json";
    let mut keys = cli.json(file);
    keys["_class_name"] = "HeunDiscreteScheduler".into();
    fs::write(cli.path(file), keys.to_string()).unwrap();
    let told =
        "note: dvar does not have the model's own sampler, `HeunDiscreteScheduler`; `euler` draws";
    let trained = cli.train(&["--model", "some-xl-turbo", "-o", "run", "--max-train-steps", "1"]);
    assert!(trained.stderr.contains(told), "{trained:?}");
    let called = "note: `some-xl-turbo`: by its name, it may have been made to draw in a few steps";
    assert!(trained.stderr.contains(called), "{trained:?}");
    trained.ok();
    let draw = |more: &[&str]| {
        let drawing = ["generate", "-m", "some-xl-turbo", "-p", "a cat", "-n", "1", "--steps", "1"];
        cli.run(&[&drawing[..], &["--device", "cpu"], more].concat())
    };
    let drawn = draw(&[]);
    assert!(drawn.stderr.contains(told), "{drawn:?}");
    drawn.ok();
    let chosen = draw(&["--scheduler", "ddim"]);
    assert!(chosen.stderr.is_empty(), "{chosen:?}");
    chosen.ok();
    let info = cli.run(&["info", "some-xl-turbo"]).ok();
    assert!(info.contains("scheduler  euler, in place of `HeunDiscreteScheduler`"), "{info}");
}
