//! Killed at any instant, a run goes on and ends in the same bytes.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dvar::rng::{Purpose, Stream};

use crate::harness::{Cli, Ran, train_args};

const FILES: [&str; 6] = [
    "learned_embeds.safetensors",
    "metrics.jsonl",
    "state/state.safetensors",
    "curve.svg",
    "samples_before.png",
    "samples_after.png",
];

/// Random shares of the run's time, one in each tenth of it, printed so that a failure can be looked
/// into.
fn instants() -> Vec<f64> {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut stream = Stream::new(nanoseconds, Purpose::Timesteps, 0);
    let instants: Vec<f64> =
        (0..10).map(|i| (i as f64 + stream.below(1000) as f64 / 1000.0) / 10.0).collect();
    println!("killed at {instants:?} of the run's time");
    instants
}

#[test]
fn a_run_killed_at_ten_random_instants_ends_in_the_bytes_of_one_that_was_not() {
    let cli = Cli::new();
    cli.concept("blue-umbrella", "pictures");
    let steps = ["--max-train-steps", "40", "-o"];
    let started = Instant::now();
    cli.train(&[&steps[..], &["whole"]].concat()).ok();
    let whole = started.elapsed();
    let mut from_checkpoints = 0;
    for (i, instant) in instants().into_iter().enumerate() {
        let run = format!("killed-{i}");
        let args = [&steps[..], &[run.as_str()]].concat();
        let mut child = cli.command(&train_args(&args)).spawn().expect("the program starts");
        thread::sleep(whole.mul_f64(instant));
        child.kill().expect("SIGKILL");
        child.wait().unwrap();
        let checkpoint = cli.path(&run).join("state/state.safetensors").is_file();
        let said = if cli.path(&run).join("config.toml").is_file() {
            cli.run(&["train", "--resume", &run, "--device", "cpu"]).ok()
        } else {
            // killed before the run was there: it starts anew, in the same folder
            cli.train(&args).ok()
        };
        assert_eq!(said.contains("resuming   at step"), checkpoint, "{said}");
        from_checkpoints += u32::from(checkpoint);
        for file in FILES {
            let (want, got) =
                (cli.read(&format!("whole/{file}")), cli.read(&format!("{run}/{file}")));
            assert!(want == got, "{file} differs after a kill at {instant} of the run");
        }
    }
    // the first checkpoint comes after 3 of 40 steps
    assert!(from_checkpoints > 0, "none of 10 went on from a checkpoint");
}

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
    let cli = Cli::new();
    cli.concept("koala", "pictures");
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

#[test]
fn other_pictures_are_refused_before_the_networks_are_loaded_and_a_broken_state_by_its_name() {
    let cli = Cli::new();
    let pictures = cli.concept("koala", "pictures");
    let model = cli.copy_model("model");
    cli.train(&["--model", "model", "-o", "run", "--num-samples", "1"]).ok();
    fs::remove_file(pictures.join("4.png")).unwrap();
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
    let cli = Cli::new();
    cli.concept("koala", "pictures");
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
    let cli = Cli::new();
    cli.concept("koala", "pictures");
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

/// Waits for something that a running program does, for a minute at most.
fn wait_for(child: &mut Child, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(child.try_wait().unwrap().is_none(), "the program ended early");
        assert!(Instant::now() < deadline, "the program is too slow");
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_after_the_step_and_says_how_to_go_on() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    let args = train_args(&["-o", "run", "--max-train-steps", "100000"]);
    let mut child = cli.command(&args).stdout(Stdio::piped()).spawn().expect("the program starts");
    let metrics = cli.path("run/metrics.jsonl");
    wait_for(&mut child, || fs::metadata(&metrics).is_ok_and(|file| file.len() > 200));
    let ran = interrupted(&cli, child);
    assert!(ran.stdout.ends_with("go on with: dvar train --resume run --device cpu\n"), "{ran:?}");
    let said = cli.run(&["info", "run"]).ok();
    assert!(said.contains("interrupted") && said.contains("dvar train --resume run"), "{said}");
}

#[cfg(unix)]
fn interrupted(cli: &Cli, child: Child) -> Ran {
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let ran = cli.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    ran
}

#[cfg(unix)]
#[test]
fn a_run_that_is_told_twice_in_a_moment_still_saves_its_step() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    // steps long enough to be told twice in one
    let steps = ["--max-train-steps", "100000", "--gradient-accumulation-steps", "64"];
    let args = train_args(&[&steps[..], &["--save-steps", "50000", "-o", "run"]].concat());
    let mut child = cli.command(&args).stdout(Stdio::piped()).spawn().expect("the program starts");
    let metrics = cli.path("run/metrics.jsonl");
    wait_for(&mut child, || fs::metadata(&metrics).is_ok_and(|file| file.len() > 0));
    // as a terminal that is closed tells by SIGHUP
    let twice = "kill -TERM \"$0\"; sleep 0.1; kill -TERM \"$0\" || true";
    let told = Command::new("/bin/sh").args(["-c", twice, &child.id().to_string()]).status();
    assert!(told.expect("the shell runs").success());
    let ran = cli.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stdout.contains("dvar train --resume run"), "{ran:?}");
    assert!(cli.path("run/state/state.safetensors").is_file());
}

#[cfg(unix)]
#[test]
fn a_run_that_nohup_started_outlives_its_terminal() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    // as nohup: what is ignored stays so in the program that takes the shell's place
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_dvar")]);
    command.args(train_args(&["-o", "run", "--max-train-steps", "100000"]));
    command.current_dir(cli.path("")).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the shell starts");
    let metrics = cli.path("run/metrics.jsonl");
    let length = || fs::metadata(&metrics).map_or(0, |file| file.len());
    wait_for(&mut child, || length() > 200);
    let hung_up = Command::new("kill").args(["-HUP", &child.id().to_string()]).status();
    assert!(hung_up.expect("kill runs").success());
    let then = length();
    wait_for(&mut child, || length() > then + 10_000); // many steps
    interrupted(&cli, child);
}

#[cfg(unix)]
#[test]
fn ctrl_c_before_the_first_step_ends_at_once() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    let common = ["train", "pictures", "--device", "cpu", "--save-init-embeds", "-o"];
    let start = |args: &[&str]| {
        let mut command = cli.command(&[&common, args].concat());
        command.stdout(fs::File::create(cli.path("said")).unwrap());
        command.spawn().expect("the program starts")
    };
    let said = || String::from_utf8(cli.read("said")).unwrap();

    // while all words are tried, on more inputs than can be computed meanwhile
    let mut child = start(&["words", "--eval-batch-size", "1024"]);
    wait_for(&mut child, || said().contains("output "));
    interrupted(&cli, child);
    assert!(said().contains("interrupted; nothing is kept"), "{}", said());
    assert!(!cli.path("words").exists());

    // while the samples are drawn, in more steps than can be made meanwhile
    let long = ["--initializer-token", "bear", "--num-inference-steps", "900"];
    let mut child = start(&[&["drawing"], &long[..]].concat());
    wait_for(&mut child, || cli.path("drawing/initial_embeds.safetensors").is_file());
    interrupted(&cli, child);
    assert!(said().contains("go on with: dvar train --resume drawing"), "{}", said());
    assert!(!cli.path("drawing/samples_before.png").exists());
}

#[cfg(unix)]
#[test]
fn a_run_without_a_checkpoint_that_cannot_go_on_keeps_its_folder() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    // it tries all words, on more inputs than can be computed meanwhile
    let begin = ["train", "pictures", "--eval-batch-size", "1024", "-o", "run"];
    let start = |args: &[&str]| {
        let mut command = cli.command(&[args, &["--device", "cpu"]].concat());
        command.stdout(fs::File::create(cli.path("said")).unwrap());
        let mut child = command.spawn().expect("the program starts");
        let said = || String::from_utf8(cli.read("said")).unwrap();
        wait_for(&mut child, || said().contains("output "));
        child
    };
    let mut killed = start(&begin);
    killed.kill().unwrap();
    killed.wait().unwrap();
    interrupted(&cli, start(&["train", "--resume", "run"]));
    let said = String::from_utf8(cli.read("said")).unwrap();
    assert!(said.contains("go on with: dvar train --resume run"), "{said}");
    assert!(cli.path("run/config.toml").is_file());
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_drawing_of_class_pictures_too() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    let custom = ["--method", "custom-diffusion", "--class-prompt", "bear"];
    let args = [&custom[..], &["--num-class-images", "5000", "-o", "run"]].concat();
    let mut child =
        cli.command(&train_args(&args)).stdout(Stdio::piped()).spawn().expect("the program starts");
    wait_for(&mut child, || cli.path("run/class_pictures/class-0000.png").is_file());
    let ran = interrupted(&cli, child);
    assert!(ran.stdout.contains("dvar train --resume run"), "{ran:?}");
    assert!(!cli.path("run/class_pictures/class-4999.png").exists());
}

#[test]
fn a_finished_run_goes_on_beyond_its_end_and_ends_as_a_longer_one() {
    let cli = Cli::new();
    cli.concept("blue-umbrella", "pictures");
    let go_on = |run: &str, steps: &str| {
        cli.run(&["train", "--resume", run, "--max-train-steps", steps, "--device", "cpu"])
    };
    cli.train(&["-o", "long", "--max-train-steps", "12"]).ok();
    cli.train(&["-o", "short", "--max-train-steps", "8"]).ok();
    // its criterion stops it at once
    cli.train(&["-o", "stopped", "--threshold", "0.99"]).ok();
    let made = cli.metrics("stopped").len();
    assert!(made < 8, "{made}");
    for run in ["short", "stopped"] {
        assert_eq!(go_on(run, "3").code, Some(2), "a run is not made shorter");
        // drawn anew, they would take the place of this
        fs::copy(cli.path("long/curve.svg"), cli.path(&format!("{run}/samples_before.png")))
            .unwrap();
        let ran = go_on(run, "12");
        assert!(!ran.stderr.contains("stops under"), "{ran:?}");
        let said = ran.ok();
        let unheard = "threshold 0.99: never stops, 12 steps are made in any case";
        assert_eq!(said.contains(unheard), run == "stopped", "{said}");
        let file = |run: &str, name: &str| cli.read(&format!("{run}/{name}"));
        for name in ["learned_embeds.safetensors", "metrics.jsonl", "samples_after.png"] {
            assert!(file("long", name) == file(run, name), "{run}/{name}");
        }
        assert!(file(run, "samples_before.png") == file("long", "curve.svg"));
        assert_eq!(cli.json(&format!("{run}/result.json")), cli.json("long/result.json"));
        fs::remove_file(cli.path(&format!("{run}/samples_before.png"))).unwrap();
        // and once more, without a number, there is nothing left to do
        cli.run(&["train", "--resume", run, "--device", "cpu"]).ok();
        for name in ["metrics.jsonl", "samples_before.png"] {
            assert!(file("long", name) == file(run, name), "{run}/{name}");
        }
    }
    // as one that was interrupted on the way leaves it, the result is of the earlier end
    let result = String::from_utf8(cli.read("short/result.json")).unwrap().replace("12", "8");
    fs::write(cli.path("short/result.json"), result).unwrap();
    let ran = cli.run(&["report", "short"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("has not ended yet"), "{ran:?}");
    assert!(cli.run(&["info", "short"]).ok().contains("dvar train --resume short"));
    cli.train(&["-o", "cosine", "--lr-scheduler", "cosine"]).ok();
    let ran = go_on("cosine", "12");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("`--lr-scheduler cosine`"), "{ran:?}");
    // to its own length it goes on
    cli.train(&["-o", "cut", "--lr-scheduler", "cosine", "--threshold", "0.99"]).ok();
    assert!(cli.metrics("cut").len() < 8);
    go_on("cut", "8").ok();
    assert!(cli.read("cosine/metrics.jsonl") == cli.read("cut/metrics.jsonl"));
}

#[test]
fn an_interrupted_run_goes_on_under_its_criterion_to_another_end() {
    let cli = Cli::new();
    cli.concept("blue-umbrella", "pictures");
    // its criterion would stop it at once, and may not until it has been killed
    let steps = ["--min-train-steps", "50000", "--max-train-steps", "100000"];
    let args = [&["-o", "run", "--threshold", "0.99"], &steps[..]].concat();
    let mut child = cli.command(&train_args(&args)).spawn().unwrap();
    wait_for(&mut child, || cli.path("run/state/state.safetensors").is_file());
    child.kill().unwrap();
    child.wait().unwrap();
    let config = String::from_utf8(cli.read("run/config.toml")).unwrap();
    assert!(config.contains("min_train_steps = 50000"), "{config}");
    let config = config.replace("min_train_steps = 50000", "min_train_steps = 0");
    fs::write(cli.path("run/config.toml"), config).unwrap();
    let go_on = ["train", "--resume", "run", "--max-train-steps", "3000", "--device", "cpu"];
    cli.run(&go_on).ok();
    let result = cli.json("run/result.json");
    assert_eq!(result["stop"]["reason"], "dvar", "{result}");
}

#[test]
fn a_broken_file_of_the_time_is_told_and_without_it_the_run_goes_on() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
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
