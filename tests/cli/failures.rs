//! What fails on the way: the exit code says whose fault it was, and what was learned is kept.

use std::{fs, process::Stdio};

use crate::harness::{Cli, Ran, train_args};

const SCORED: [&str; 6] = ["-o", "run", "--stopping", "few-iters", "--sample-frequency", "4"];

#[test]
fn samples_that_cannot_be_written_on_the_way_leave_the_last_good_vectors() {
    let cli = Cli::with_pictures_of("koala");
    cli.train(&SCORED).ok();
    // as if it had been killed before its first checkpoint, and then something is in the way
    fs::remove_file(cli.path("run/state/state.safetensors")).unwrap();
    fs::remove_file(cli.path("run/learned_embeds.safetensors")).unwrap();
    fs::remove_dir_all(cli.path("run/checkpoints")).unwrap();
    fs::write(cli.path("run/checkpoints"), "in the way").unwrap();
    // the checkpoint of step 3 is none of the last good vectors: those of step 4 are
    let ran = cli.run(&["train", "--resume", "run", "--device", "cpu"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let told =
        "cannot write `run/checkpoints/00004`: Not a directory (os error 20); choose another";
    assert!(ran.stderr.contains(told) || cfg!(not(target_os = "linux")), "{ran:?}");
    let kept = "the last good vectors are in `run/learned_embeds.safetensors`";
    assert!(ran.stderr.contains(kept), "{ran:?}");
    assert!(cli.run(&["info", "run/learned_embeds.safetensors"]).ok().contains("<umb>"));
}

#[test]
fn a_run_that_diverges_keeps_the_last_good_vectors_and_says_what_to_lower() {
    let cli = Cli::with_pictures_of("koala");
    let ran = cli.train(&["-o", "run", "--learning-rate", "1e30"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("the last good vectors are in"), "{ran:?}");
    assert!(ran.stderr.contains("lower `--learning-rate`"), "{ran:?}");
}

#[test]
fn a_refused_option_is_told_with_its_flag() {
    let cli = Cli::with_pictures_of("koala");
    let ran = cli.train(&["--window", "1"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("window") && ran.stderr.contains("`--window`"), "{ran:?}");
}

/// Runs a command twice at once.
fn twice(cli: &Cli, args: &[&str]) -> Vec<Ran> {
    let start = || {
        let mut command = cli.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    let children = [start(), start()];
    children.map(|child| cli.ran(child.wait_with_output().unwrap())).into()
}

#[test]
fn of_two_runs_that_name_one_folder_one_is_refused() {
    let cli = Cli::with_pictures_of("koala");
    let ran = twice(&cli, &train_args(&["-o", "run", "--max-train-steps", "1"]));
    let mut codes: Vec<_> = ran.iter().map(|ran| ran.code).collect();
    codes.sort();
    assert_eq!(codes, [Some(0), Some(2)], "{ran:?}");
    let refused = ran.iter().find(|ran| ran.code == Some(2)).unwrap();
    let reasons = ["exists and is not empty", "is being written to by another process"];
    assert!(reasons.iter().any(|reason| refused.stderr.contains(reason)), "{ran:?}");
    assert!(cli.path("run/result.json").is_file());
}

#[test]
fn two_runs_that_name_no_folder_take_two() {
    let cli = Cli::with_pictures_of("koala");
    for ran in twice(&cli, &train_args(&["--max-train-steps", "1"])) {
        ran.ok();
    }
    for folder in ["runs/umb", "runs/umb-2"] {
        assert!(cli.path(folder).join("result.json").is_file(), "{folder}");
    }
}
