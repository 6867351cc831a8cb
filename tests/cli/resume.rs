//! Killed at any instant, a run goes on and ends in the same bytes.

use std::{thread, time::Duration};

use crate::harness::{Cli, train_args};

const FILES: [&str; 4] =
    ["learned_embeds.safetensors", "metrics.jsonl", "state/state.safetensors", "samples_after.png"];

#[test]
fn a_run_killed_at_ten_instants_ends_in_the_bytes_of_one_that_was_not() {
    let cli = Cli::new();
    cli.concept("blue-umbrella", "pictures");
    let started = std::time::Instant::now();
    cli.train(&["-o", "whole"]).ok();
    let whole = started.elapsed();
    for instant in 0..10_u32 {
        let run = format!("killed-{instant}");
        let mut child =
            cli.command(&train_args(&["-o", &run])).spawn().expect("the program starts");
        // spread over the whole run, at no round share of it
        thread::sleep(whole.mul_f64((f64::from(instant) + 0.37) / 10.0));
        child.kill().expect("SIGKILL");
        child.wait().unwrap();
        if cli.path(&run).join("config.toml").is_file() {
            cli.run(&["train", "--resume", &run, "--device", "cpu"]).ok();
        } else {
            // killed before the run was there: it starts anew
            cli.train(&["-o", &run]).ok();
        }
        for file in FILES {
            let (want, got) =
                (cli.read(&format!("whole/{file}")), cli.read(&format!("{run}/{file}")));
            assert!(want == got, "{file} differs after a kill at instant {instant}");
        }
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_after_the_step_and_says_how_to_go_on() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    let args = train_args(&["-o", "run", "--max-train-steps", "100000"]);
    let child = cli
        .command(&args)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let metrics = cli.path("run/metrics.jsonl");
    while std::fs::metadata(&metrics).map_or(0, |file| file.len()) < 200 {
        thread::sleep(Duration::from_millis(20));
    }
    let killed =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let ran = cli.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stdout.contains("dvar train --resume run"), "{ran:?}");
    let said = cli.run(&["info", "run"]).ok();
    assert!(said.contains("interrupted"), "{said}");
}
