//! Grids of small runs: shared, gone on with, counted.

#[cfg(unix)]
mod interrupted;
mod semi_deterministic;
#[cfg(unix)]
mod slurm;

#[cfg(unix)]
use std::process::{Child, Command};
use std::{fs, process::Stdio};

#[cfg(unix)]
use crate::harness::wait_for;
use crate::harness::{Cli, Ran, SMALL};

const TABLE: [&str; 6] = ["experiment", "table1", "--grid", "grid.toml", "--device", "cpu"];

/// Two concepts, and these variants, of small runs.
fn grid(cli: &Cli, options: &str, rest: &str) {
    let mut text = format!("[options]\n{SMALL}num_samples = 1\n{options}\n");
    for (concept, word) in [("blue-umbrella", "umbrella"), ("koala", "bear")] {
        if !cli.path(concept).is_dir() {
            cli.concept(concept, concept);
        }
        text += &format!(
            "[[concepts]]\nname = '{concept}'\ntrain_data_dir = '{concept}'\n\
             placeholder_token = '<{concept}>'\ninitializer_token = '{word}'\n"
        );
    }
    fs::write(cli.path("grid.toml"), text + rest).unwrap();
}

fn text(cli: &Cli, file: &str) -> String {
    String::from_utf8(cli.read(file)).unwrap()
}

/// The fields of a line of CSV, of which none is quoted.
fn fields(csv: &str, line: usize) -> Vec<String> {
    csv.lines().nth(line).unwrap().split(',').map(String::from).collect()
}

fn made(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.contains("stopped after")).collect()
}

const STEPS: &str = "
[[variants]]
name = 'CLIP-s'
stopping = 'clip-s'
sample_frequency = 2
min_delta = 1.0
patience = 1

[[variants]]
name = 'Few iters (mean)'
stopping = 'few-iters'
steps_from = { variant = 'CLIP-s', statistic = 'mean' }
";

#[test]
fn two_processes_share_a_grid_and_a_third_finds_nothing_to_do() {
    let cli = Cli::new();
    grid(&cli, "", STEPS);
    let children: Vec<_> = (0..2)
        .map(|_| {
            let mut command = cli.command(&TABLE);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let said: Vec<String> =
        children.into_iter().map(|child| cli.ran(child.wait_with_output().unwrap()).ok()).collect();
    let said = said.concat();
    assert_eq!(made(&said).len(), 4, "each run was made once: {said}");

    let folder = "experiments/table1";
    let csv = text(&cli, &format!("{folder}/table1.csv"));
    let names = "variant,CLIP-I,CLIP-I_iqr,iterations,iterations_iqr,minutes,minutes_iqr";
    assert_eq!(csv.lines().next().unwrap(), format!("{names},runs,failed,failed_runs"));
    let mut clip_s_steps = Vec::new();
    for (line, variant, slug) in
        [(1, "CLIP-s", "clip-s"), (2, "Few iters (mean)", "few-iters-mean")]
    {
        let of = |file: &str, key: &str| -> Vec<f64> {
            let of_concept = |concept| cli.json(&format!("{folder}/runs/{concept}--{slug}/{file}"));
            ["blue-umbrella", "koala"].map(|c| of_concept(c)[key].as_f64().unwrap()).to_vec()
        };
        // of two values, the median is their mean, and the quartiles lie halfway to it
        let want: Vec<f64> = [
            ("result.json", "clip_i", 1.0),
            ("result.json", "steps", 1.0),
            ("timing.json", "train_seconds", 60.0),
        ]
        .into_iter()
        .flat_map(|(file, key, unit)| {
            let values = of(file, key);
            let (a, b) = (values[0] / unit, values[1] / unit);
            [(a + b) / 2.0, (a - b).abs() / 2.0]
        })
        .collect();
        let fields = fields(&csv, line);
        assert_eq!(fields[0], variant);
        for (field, want) in fields[1..7].iter().zip(&want) {
            assert!((field.parse::<f64>().unwrap() - want).abs() < 1e-12, "{fields:?} {want}");
        }
        assert_eq!(fields[7..], ["2", "0", ""]);
        let steps = of("result.json", "steps");
        match line {
            1 => clip_s_steps = steps,
            _ => assert_eq!(steps, [clip_s_steps.iter().sum::<f64>() / 2.0; 2]),
        }
    }
    assert_eq!(text(&cli, &format!("{folder}/runs.csv")).lines().count(), 5);
    assert!(text(&cli, &format!("{folder}/table1.svg")).contains("Few iters (mean)"));
    let markdown = text(&cli, &format!("{folder}/table1.md"));
    for words in ["dvar-tiny-emoji", "blue-umbrella, koala", "the mean of CLIP-s", "window = 3"] {
        assert!(markdown.contains(words), "{words}: {markdown}");
    }

    let said = cli.run(&TABLE).ok();
    assert!(said.contains("4 of 4 runs done") && made(&said).is_empty(), "{said}");
    assert_eq!(text(&cli, &format!("{folder}/table1.md")), markdown);

    // what is there must not count for other options
    grid(&cli, "seed = 5", STEPS);
    let ran = cli.run(&TABLE);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    for words in ["`experiments/table1/runs/blue-umbrella--clip-s`", "`seed = 0`", "`seed = 5`"] {
        assert!(ran.stderr.contains(words), "{words}: {ran:?}");
    }

    // nor for other pictures
    grid(&cli, "", STEPS);
    fs::remove_file(cli.path("koala/4.png")).unwrap();
    let ran = cli.run(&TABLE);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let told = "the run `experiments/table1/runs/koala--clip-s` was made of other pictures";
    assert!(ran.stderr.contains(told), "{ran:?}");
}

#[test]
fn a_grid_notices_that_other_weights_took_the_place_of_its_models() {
    let cli = Cli::new();
    let model = cli.copy_model("model");
    grid(&cli, "model = 'model'", "[[variants]]\nname = 'x'\n");
    cli.run(&TABLE).ok();
    let weights = model.join("unet/diffusion_pytorch_model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0);
    fs::write(&weights, bytes).unwrap();
    for more in [&[][..], &["--status"]] {
        let ran = cli.run(&[&TABLE[..], more].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let told = "the run `experiments/table1/runs/blue-umbrella--x` was begun with other files";
        assert!(ran.stderr.contains(told), "{ran:?}");
    }
}

#[test]
fn a_run_that_fails_is_counted_and_tried_again_and_the_others_are_made() {
    let cli = Cli::new();
    let variants = "
[[variants]]
name = 'good'

[[variants]]
name = 'far'
learning_rate = 1e37

[[variants]]
name = 'as far'
stopping = 'few-iters'
steps_from = { variant = 'far', statistic = 'max' }
";
    grid(&cli, "", variants);
    let ran = cli.run(&TABLE);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("4 of 6 runs failed"), "{ran:?}");
    let reason = text(&cli, "experiments/table1/runs/koala--far.failed");
    assert_eq!(reason.lines().count(), 1, "{reason}");
    let csv = text(&cli, "experiments/table1/table1.csv");
    assert_eq!(fields(&csv, 1)[7..], ["2", "0", ""]);
    assert_eq!(fields(&csv, 2)[1..4], ["", "", ""]);
    let markdown = text(&cli, "experiments/table1/table1.md");
    assert!(markdown.contains("2 (2 failed)"), "{markdown}");
    assert!(markdown.contains(&format!("- koala, far: {}", reason.trim())), "{markdown}");
    assert!(markdown.contains("the largest of `far`, whose run of blue-umbrella failed"));
    // how many steps the others would have given it is not known
    let runs = text(&cli, "experiments/table1/runs.csv");
    assert_eq!(fields(&runs, 5)[2..4], ["as far", ""]);

    let again = cli.run(&TABLE);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert_eq!(again.stdout.matches("failed: ").count(), 2, "both are tried again: {again:?}");
    assert!(made(&again.stdout).is_empty(), "{again:?}");
}

#[test]
fn what_cannot_run_is_refused_before_the_first_run() {
    let cli = Cli::new();
    let refused = |ran: Ran, words: &str| {
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(words), "{words}: {ran:?}");
        assert!(!cli.path("experiments").exists());
    };
    refused(cli.run(&["experiment", "table1"]), "`examples/concepts/blue-car` is not here");
    refused(cli.run(&TABLE), "cannot read `grid.toml`");
    let late =
        "[[variants]]\nname = 'x'\n[[variants]]\nname = 'y'\ninitializer_token = 'qwertyuiop'\n";
    grid(&cli, "", late);
    refused(cli.run(&TABLE), "variant `y` of concept `blue-umbrella`");
    grid(&cli, "", "[[variants]]\nname = 'x'\n");
    refused(cli.run(&[&TABLE[..5], &["abacus"]].concat()), "`abacus`");
    let submitted = [&TABLE[..5], &["abacus", "--submit", "slurm"]].concat();
    refused(cli.run(&submitted), "unknown device `abacus`");
    let unknown = [&TABLE[..], &["--run", "koala--y"]].concat();
    refused(cli.run(&unknown), "the grid has no run `koala--y`; give one of `blue-umbrella--x`");
    fs::create_dir(cli.path("run")).unwrap();
    fs::write(cli.path("run/config.toml"), "").unwrap();
    refused(cli.run(&[&TABLE[..], &["-o", "run"]].concat()), "`run` is the folder of one run");
}

#[test]
fn a_single_run_makes_those_that_it_takes_its_steps_from_too() {
    let cli = Cli::new();
    grid(&cli, "", STEPS);
    let said = cli.run(&[&TABLE[..], &["--run", "koala--few-iters-mean"]].concat()).ok();
    assert!(said.contains("0 of 3 wanted runs done"), "{said}");
    let status = cli.run(&[&TABLE[..], &["--status"]].concat()).ok();
    let open: Vec<_> = status.lines().filter(|line| line.starts_with("open")).collect();
    assert_eq!(open, ["open       blue-umbrella--few-iters-mean"], "{status}");
    // it asks nothing of the others
    fs::remove_file(cli.path("koala/4.png")).unwrap();
    cli.run(&[&TABLE[..], &["--run", "blue-umbrella--clip-s"]].concat()).ok();
}

/// The program that makes a grid, once this run has made a few steps.
#[cfg(unix)]
fn begun(cli: &Cli, mut command: Command, run: &str) -> Child {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = cli.path(run).join("metrics.jsonl");
    wait_for(&mut child, || fs::metadata(&metrics).is_ok_and(|file| file.len() > 200));
    child
}
