//! Ctrl-C, SIGTERM and a terminal that is closed, at any time of a run.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::harness::{Cli, Ran, signal, train_args, wait_for};

/// A program that has come so far; what it says is kept.
fn begun(mut command: Command, far: impl Fn() -> bool) -> Child {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    wait_for(&mut child, far);
    child
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.len())
}

/// What a program says that is interrupted now.
fn interrupted(cli: &Cli, child: Child) -> Ran {
    signal("INT", &child);
    let ran = cli.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    ran
}

#[test]
fn ctrl_c_ends_after_the_step_and_says_how_to_go_on() {
    let cli = Cli::with_pictures_of("koala");
    let args = train_args(&["-o", "run", "--max-train-steps", "100000"]);
    let metrics = cli.path("run/metrics.jsonl");
    let child = begun(cli.command(&args), || length(&metrics) > 200);
    let ran = interrupted(&cli, child);
    assert!(ran.stdout.ends_with("go on with: dvar train --resume run --device cpu\n"), "{ran:?}");
    let embedding = "embedding  run/learned_embeds.safetensors, as learned so far\n";
    assert!(ran.stdout.contains(embedding), "{ran:?}");
    let said = cli.run(&["info", "run"]).ok();
    assert!(said.contains("interrupted") && said.contains("dvar train --resume run"), "{said}");
}

#[test]
fn a_run_that_is_told_twice_in_a_moment_still_saves_its_step() {
    let cli = Cli::with_pictures_of("koala");
    // steps long enough to be told twice in one
    let steps = ["--max-train-steps", "100000", "--gradient-accumulation-steps", "64"];
    let args = train_args(&[&steps[..], &["--save-steps", "50000", "-o", "run"]].concat());
    let metrics = cli.path("run/metrics.jsonl");
    let child = begun(cli.command(&args), || length(&metrics) > 0);
    // as a terminal that is closed tells by SIGHUP
    let twice = "kill -TERM \"$0\"; sleep 0.1; kill -TERM \"$0\" || true";
    let told = Command::new("/bin/sh").args(["-c", twice, &child.id().to_string()]).status();
    assert!(told.expect("the shell runs").success());
    let ran = cli.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stdout.contains("dvar train --resume run"), "{ran:?}");
    assert!(cli.path("run/state/state.safetensors").is_file());
}

#[test]
fn a_run_that_nohup_started_outlives_its_terminal() {
    let cli = Cli::with_pictures_of("koala");
    // as nohup: what is ignored stays so in the program that takes the shell's place
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_dvar")]);
    command.args(train_args(&["-o", "run", "--max-train-steps", "100000"]));
    command.current_dir(cli.path(""));
    let metrics = cli.path("run/metrics.jsonl");
    let mut child = begun(command, || length(&metrics) > 200);
    signal("HUP", &child);
    let then = length(&metrics);
    wait_for(&mut child, || length(&metrics) > then + 10_000); // many steps
    interrupted(&cli, child);
}

#[test]
fn ctrl_c_before_the_first_step_ends_at_once() {
    let cli = Cli::with_pictures_of("koala");
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

#[test]
fn a_run_without_a_checkpoint_that_cannot_go_on_keeps_its_folder() {
    let cli = Cli::with_pictures_of("koala");
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

#[test]
fn ctrl_c_ends_the_drawing_of_class_pictures_too() {
    let cli = Cli::with_pictures_of("koala");
    let custom = ["--method", "custom-diffusion", "--class-prompt", "bear"];
    let args = [&custom[..], &["--num-class-images", "5000", "-o", "run"]].concat();
    let first = cli.path("run/class_pictures/class-0000.png");
    let child = begun(cli.command(&train_args(&args)), || first.is_file());
    let ran = interrupted(&cli, child);
    assert!(ran.stdout.contains("dvar train --resume run"), "{ran:?}");
    assert!(!cli.path("run/class_pictures/class-4999.png").exists());

    // and that of the first ones, in more steps than can be made meanwhile
    let args = [&custom[..], &["--num-inference-steps", "900", "-o", "long"]].concat();
    let folder = cli.path("long/class_pictures");
    let child = begun(cli.command(&train_args(&args)), || folder.is_dir());
    let ran = interrupted(&cli, child);
    assert!(ran.stdout.contains("dvar train --resume long"), "{ran:?}");
    assert!(!folder.join("class-0000.png").exists());
}
