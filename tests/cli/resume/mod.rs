//! Killed at any instant, a run goes on and ends in the same bytes.

#[cfg(unix)]
mod end_request;
mod refused;

use std::{
    fs, thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use dvar::rng::{Purpose, Stream};

use crate::harness::{Cli, train_args, wait_for};

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
    let cli = Cli::with_pictures_of("blue-umbrella");
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
fn a_finished_run_goes_on_beyond_its_end_and_ends_as_a_longer_one() {
    let cli = Cli::with_pictures_of("blue-umbrella");
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
    let cli = Cli::with_pictures_of("blue-umbrella");
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
