//! What a run does not go on with, and what it is told then.

use std::fs;

use crate::harness::{Cli, Ran, train_args, wait_for};

#[test]
fn a_run_goes_on_from_its_checkpoint_only_with_the_same_options_and_pictures() {
    let cli = Cli::new();
    let pictures = cli.concept("koala", "pictures");
    let mut child =
        cli.command(&train_args(&["-o", "run", "--max-train-steps", "100000"])).spawn().unwrap();
    wait_for(&mut child, || cli.path("run/state/state.safetensors").is_file());
    child.kill().unwrap();
    child.wait().unwrap();

    let (config, text) = (cli.path("run/config.toml"), cli.read("run/config.toml"));
    let another = String::from_utf8(text.clone()).unwrap().replace("seed = 0", "seed = 1");
    fs::write(&config, &another).unwrap();
    let refused = |ran: Ran| {
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("are not those that the run began with"), "{ran:?}");
    };
    refused(cli.run(&["train", "--resume", "run", "--device", "cpu"]));
    fs::write(&config, &text).unwrap();
    fs::remove_file(pictures.join("4.png")).unwrap();
    refused(cli.run(&["train", "--resume", "run", "--device", "cpu"]));
    let longer = ["train", "--resume", "run", "--max-train-steps", "200000", "--device", "cpu"];
    refused(cli.run(&longer));
    assert_eq!(cli.read("run/config.toml"), text, "what is refused changes nothing");
    fs::rename(&pictures, cli.path("moved")).unwrap();
    let moved = cli.run(&["train", "--resume", "run", "--device", "cpu"]);
    assert_eq!(moved.code, Some(2), "{moved:?}");
    let told = "the pictures of the run `run` are no longer in `";
    assert!(moved.stderr.contains(told) && moved.stderr.contains("put them back"), "{moved:?}");
}

#[test]
fn a_run_goes_on_only_with_the_vectors_of_the_file_that_it_started_from() {
    let cli = Cli::with_pictures_of("koala");
    let short = ["--max-train-steps", "1", "--num-samples", "1", "-o"];
    let go_on =
        |run| cli.run(&["train", "--resume", run, "--max-train-steps", "2", "--device", "cpu"]);
    cli.train(&[&short[..], &["first"]].concat()).ok();
    let file = "first/learned_embeds.safetensors";
    let vectors = cli.read(file);
    let second = [&short[..], &["second", "--initializer-file", file]].concat();
    let second: Vec<&str> = train_args(&second)
        .into_iter()
        .filter(|arg| !["--initializer-token", "umbrella"].contains(arg))
        .collect();
    cli.run(&second).ok();
    go_on("first").ok();
    let ran = go_on("second");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("are not those that the run began with"), "{ran:?}");
    fs::write(cli.path(file), vectors).unwrap();
    go_on("second").ok();
}

/// Changes a byte of what a run's state says of its model's files, so many bytes after the beginning of its
/// name.
fn change_mark(cli: &Cli, run: &str, offset: usize) {
    let state = cli.path(run).join("state/state.safetensors");
    let mut bytes = fs::read(&state).unwrap();
    let at = bytes.windows(10).position(|part| part == b"model-mark").expect("the model's mark");
    bytes[at + offset] ^= 1;
    fs::write(state, bytes).unwrap();
}

/// Under another name this version does not know it, as if an earlier one had begun the run.
const NAME: usize = 0;
/// Behind the name and `\":\"`.
const VALUE: usize = 15;

#[test]
fn a_run_goes_on_only_with_the_model_that_it_began_with() {
    let cli = Cli::with_pictures_of("koala");
    let model = cli.copy_model("model");
    let short = ["--max-train-steps", "1", "--num-samples", "1", "-o"];
    cli.train(&[&["--model", "model"][..], &short, &["run"]].concat()).ok();
    let go_on = |run: &str, steps: &str| {
        cli.run(&["train", "--resume", run, "--max-train-steps", steps, "--device", "cpu"])
    };
    let refused = |ran: Ran, told: &[&str]| {
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(told.iter().all(|words| ran.stderr.contains(words)), "{ran:?}");
    };
    let weights = model.join("unet/diffusion_pytorch_model.safetensors");
    let own = fs::read(&weights).unwrap();
    let mut others = own.clone();
    *others.last_mut().unwrap() ^= 1;
    fs::write(&weights, &others).unwrap();
    let config = cli.read("run/config.toml");
    let told = "the run `run` was begun with other files of its model, `";
    refused(go_on("run", "2"), &[told, "put those back"]);
    assert_eq!(cli.read("run/config.toml"), config, "what is refused changes nothing");
    // as a copy, or a new download, has other times
    fs::write(&weights, &own).unwrap();
    go_on("run", "2").ok();
    change_mark(&cli, "run", NAME);
    fs::write(&weights, &others).unwrap();
    go_on("run", "3").ok();
    fs::write(&weights, &own).unwrap();
    refused(go_on("run", "4"), &[told]);
    fs::rename(&model, cli.path("moved")).unwrap();
    refused(go_on("run", "4"), &["the model of the run `run` is no longer at `"]);

    cli.train(&[&short[..], &["default"]].concat()).ok();
    change_mark(&cli, "default", VALUE);
    refused(go_on("default", "2"), &["(embedded)`", "take the version of dvar that began it"]);
    change_mark(&cli, "default", VALUE);
    go_on("default", "2").ok();
}

#[test]
fn other_pictures_are_refused_before_the_networks_are_loaded_and_a_broken_state_by_its_name() {
    let cli = Cli::new();
    let pictures = cli.concept("koala", "pictures");
    let model = cli.copy_model("model");
    cli.train(&["--model", "model", "-o", "run", "--num-samples", "1"]).ok();
    fs::remove_file(pictures.join("4.png")).unwrap();
    change_mark(&cli, "run", NAME);
    fs::write(model.join("unet/diffusion_pytorch_model.safetensors"), "none").unwrap();
    let go_on = ["train", "--resume", "run", "--max-train-steps", "9", "--device", "cpu"];
    let ran = cli.run(&go_on);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("are not those that the run began with"), "{ran:?}");

    fs::write(cli.path("run/state/state.safetensors"), "none").unwrap();
    for args in [&go_on[..], &["info", "run"], &["report", "run"]] {
        let ran = cli.run(args);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.starts_with("error: `run/state/state.safetensors`: "), "{ran:?}");
    }
}

#[test]
fn a_log_that_is_gone_is_a_fault_of_the_folder() {
    let cli = Cli::with_pictures_of("koala");
    let few = ["--max-train-steps", "2", "--num-samples", "1"];
    cli.train(&[&["-o", "run", "--logger", "wandb"][..], &few].concat()).ok();
    fs::remove_dir_all(cli.path("run/logs")).unwrap();
    let ran = cli.run(&["train", "--resume", "run", "--max-train-steps", "3", "--device", "cpu"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("has 0 of the 2 steps made"), "{ran:?}");
}

#[test]
fn a_folder_with_another_program_s_configuration_is_no_run_and_stays_as_it_is() {
    let cli = Cli::new();
    fs::create_dir(cli.path("site")).unwrap();
    fs::write(cli.path("site/config.toml"), "title = 'A site'").unwrap();
    fs::write(cli.path("site/.draft.tmp-1"), "another program's").unwrap();
    let ran = cli.run(&["train", "--resume", "site"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("there is no option `title`"), "{ran:?}");
    assert!(!cli.path("site/state").exists() && cli.path("site/.draft.tmp-1").exists());
}

#[test]
fn a_run_s_own_options_are_told_with_their_file_and_not_with_a_flag_that_is_refused() {
    let cli = Cli::with_pictures_of("koala");
    fs::create_dir(cli.path("run")).unwrap();
    let options = "train_data_dir = 'pictures'\nplaceholder_token = '<a>'\n\
                   initializer_token = 'bear'\nwindow = 1\n";
    fs::write(cli.path("run/config.toml"), options).unwrap();
    for args in [&["train", "--resume", "run", "--device", "cpu"][..], &["evaluate", "run"]] {
        let ran = cli.run(args);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.starts_with("error: `run/config.toml`: "), "{ran:?}");
        assert!(!ran.stderr.contains("--window"), "{ran:?}");
    }
    let ended = ["train", "--resume", "run", "--max-train-steps", "0", "--device", "cpu"];
    fs::write(cli.path("run/config.toml"), options.replace("window = 1", "window = 9")).unwrap();
    assert!(cli.run(&ended).stderr.contains("hint: `--max-train-steps` sets it"));
}

#[test]
fn a_broken_file_of_the_time_is_told_and_without_it_the_run_goes_on() {
    let cli = Cli::with_pictures_of("koala");
    cli.train(&["-o", "run", "--max-train-steps", "1", "--num-samples", "1"]).ok();
    let go_on = |steps| {
        cli.run(&["train", "--resume", "run", "--max-train-steps", steps, "--device", "cpu"])
    };
    for broken in ["", "{\"train_seconds\":", "{\"train_seconds\":\"many\"}"] {
        fs::write(cli.path("run/timing.json"), broken).unwrap();
        let ran = go_on("2");
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let told = "error: `run/timing.json` does not tell how long the run took so far: ";
        assert!(ran.stderr.contains(told) && ran.stderr.contains("remove it"), "{ran:?}");
        assert!(!ran.stderr.contains("space"), "{ran:?}");
    }
    fs::remove_file(cli.path("run/timing.json")).unwrap();
    go_on("2").ok();
    assert!(cli.json("run/timing.json")["train_seconds"].as_f64().unwrap() > 0.0);
}
