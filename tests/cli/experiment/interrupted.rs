//! A grid that is told to end.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{TABLE, begun, grid, text};
use crate::harness::{Cli, signal, wait_for};

#[test]
fn an_interrupted_grid_goes_on_and_no_other_process_takes_a_run_that_still_runs() {
    let cli = Cli::new();
    grid(&cli, "", "[[variants]]\nname = 'long'\nmax_train_steps = 30\n");
    let metrics = cli.path("experiments/table1/runs/blue-umbrella--long/metrics.jsonl");
    let log = "experiments/table1/runs/blue-umbrella--long.log";
    let begin = |sign: &str| {
        let mut command = cli.command(&TABLE);
        // no program `kill`, as in a small container
        command.env("PATH", cli.path("none")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait_for(&mut child, || {
            fs::metadata(&metrics).is_ok_and(|file| file.len() > 200)
                && text(&cli, log).contains(sign)
        });
        child
    };
    let child = begin("output     ");
    signal("INT", &child);
    let ran = cli.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stdout.contains("the same command goes on"), "{ran:?}");
    assert!(!cli.path("experiments/table1/runs/blue-umbrella--long/result.json").exists());

    // killed, it leaves a run behind that goes on by itself
    let mut child = begin("resuming   ");
    child.kill().unwrap();
    child.wait().unwrap();
    let said = cli.run(&TABLE).ok();
    assert!(text(&cli, "experiments/table1/runs.csv").contains("koala"), "{said}");
    let log = text(&cli, log);
    assert_eq!(log.matches("stop       ").count(), 2, "interrupted once, ended once: {log}");
}

#[test]
fn a_run_that_ends_at_once_when_the_grid_is_interrupted_has_not_failed() {
    let cli = Cli::new();
    grid(&cli, "", "[[variants]]\nname = 'long'\nmax_train_steps = 30\n");
    let run = "experiments/table1/runs/blue-umbrella--long";
    let child = begun(&cli, cli.command(&TABLE), run);
    // stopped, it does not hear of it, and then it is killed
    signal_children("STOP", &child);
    signal("INT", &child);
    thread::sleep(Duration::from_millis(500));
    signal_children("KILL", &child);
    let ran = cli.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(!ran.stdout.contains("failed"), "{ran:?}");
    assert!(!cli.path(&format!("{run}.failed")).exists());
}

/// Sends a signal to the processes that a program has started.
fn signal_children(name: &str, parent: &Child) {
    let mut command = Command::new("pkill");
    command.arg(format!("-{name}")).arg("-P").arg(parent.id().to_string());
    assert!(command.status().expect("pkill runs").success());
}
