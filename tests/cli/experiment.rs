//! Grids of small runs: shared, gone on with, counted.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

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
fn semi_deterministic_evaluations_are_compared_along_one_training() {
    let cli = Cli::new();
    let study = "[semi_deterministic]\ncodes = ['11111', '11110']\ninputs = [1, 4]\n";
    grid(&cli, "", study);
    let small = text(&cli, "grid.toml").replace("threshold = 0.0\n", "");
    let small = small.replace("stopping = \"dvar\"\n", "");
    fs::write(cli.path("grid.toml"), small).unwrap();
    let args = ["experiment", "semi-deterministic", "--grid", "grid.toml", "-o", "out"];
    cli.run(&[&args[..], &["--device", "cpu"]].concat()).ok();

    let csv = text(&cli, "out/semi-deterministic.csv");
    assert_eq!(csv.lines().count(), 9);
    let mut redrawn = Vec::new();
    for line in 1..9 {
        let fields = fields(&csv, line);
        let r_squared: f64 = fields[4].parse().unwrap();
        match &*fields[1] {
            "11111" => assert!((r_squared - 1.0).abs() < 1e-12, "{fields:?}"),
            _ => redrawn.push((fields, r_squared)),
        }
    }
    for (fields, r_squared) in redrawn {
        // by hand: the squared correlation of the two runs' losses
        let losses = |code: &str| -> Vec<f64> {
            let run = format!("out/runs/{}--{code}-{}-inputs", fields[0], fields[3]);
            cli.metrics(&run).iter().map(|step| step["eval_loss"].as_f64().unwrap()).collect()
        };
        let (x, y) = (losses("11111"), losses("11110"));
        assert_eq!((x.len(), y.len()), (8, 8));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / 8.0;
        let product = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(p, q)| (p - mean(a)) * (q - mean(b))).sum::<f64>()
        };
        let want = product(&x, &y).powi(2) / (product(&x, &x) * product(&y, &y));
        assert!((r_squared - want).abs() < 1e-9 && want < 0.999, "{fields:?} {want}");
    }
    let markdown = text(&cli, "out/semi-deterministic.md");
    for words in ["| R², 1 input | R², 4 inputs |", "| timesteps", "| nothing", "1.000"] {
        assert!(markdown.contains(words), "{words}: {markdown}");
    }
    let svg = text(&cli, "out/semi-deterministic.svg");
    assert_eq!(svg.matches("<polyline").count(), 4, "the first concept's runs");

    // another training must not pass for the same
    let metrics = cli.path("out/runs/koala--11110-4-inputs/metrics.jsonl");
    let other = fs::read_to_string(&metrics).unwrap().replacen("\"loss\":", "\"loss\":1", 1);
    fs::write(&metrics, other).unwrap();
    let ran = cli.run(&[&args[..], &["--device", "cpu"]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("koala--11110-4-inputs` differ"), "{ran:?}");
}

#[cfg(unix)]
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
        let child = command.spawn();
        let deadline = Instant::now() + Duration::from_secs(60);
        let going = || {
            fs::metadata(&metrics).is_ok_and(|file| file.len() > 200)
                && text(&cli, log).contains(sign)
        };
        while !going() {
            assert!(Instant::now() < deadline, "the program is too slow");
            thread::sleep(Duration::from_millis(10));
        }
        child.unwrap()
    };
    let child = begin("output     ");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
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

#[cfg(unix)]
#[test]
fn a_run_that_ends_at_once_when_the_grid_is_interrupted_has_not_failed() {
    let cli = Cli::new();
    grid(&cli, "", "[[variants]]\nname = 'long'\nmax_train_steps = 30\n");
    let run = "experiments/table1/runs/blue-umbrella--long";
    let child = begun(&cli, cli.command(&TABLE), run);
    // stopped, it does not hear of it, and then it is killed
    signal("STOP", child.id(), true);
    signal("INT", child.id(), false);
    thread::sleep(Duration::from_millis(500));
    signal("KILL", child.id(), true);
    let ran = cli.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(!ran.stdout.contains("failed"), "{ran:?}");
    assert!(!cli.path(&format!("{run}.failed")).exists());
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
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = cli.path(run).join("metrics.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fs::metadata(&metrics).is_ok_and(|file| file.len() > 200) {
        assert!(Instant::now() < deadline, "the program is too slow");
        thread::sleep(Duration::from_millis(10));
    }
    child
}

/// Sends a signal to a process, or to those that it started.
#[cfg(unix)]
fn signal(name: &str, id: u32, to_children: bool) {
    let program = if to_children { "pkill" } else { "kill" };
    let mut command = Command::new(program);
    command.arg(format!("-{name}")).args(to_children.then_some("-P"));
    assert!(command.arg(id.to_string()).status().unwrap().success());
}

/// A `PATH` with a `sbatch` that only notes how it was called, and gives the numbers 1, 2, 3, and a
/// `scontrol` like it.
#[cfg(unix)]
fn slurm(cli: &Cli) -> String {
    use std::os::unix::fs::PermissionsExt;

    const NOTES: &str = "#!/bin/sh
[ \"$1\" = --version ] && exit
echo \"$@\" >> \"$CALLS\"
wc -l < \"$CALLS\"
";
    fs::create_dir(cli.path("bin")).unwrap();
    for program in ["bin/sbatch", "bin/scontrol"] {
        fs::write(cli.path(program), NOTES).unwrap();
        fs::set_permissions(cli.path(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", cli.path("bin").display(), std::env::var("PATH").unwrap())
}

#[cfg(unix)]
#[test]
fn the_job_of_the_tables_goes_back_into_the_queue_when_its_time_is_up() {
    let cli = Cli::new();
    grid(&cli, "", "[[variants]]\nname = 'long'\nmax_train_steps = 30\n");
    let path = slurm(&cli);
    let mut submit = cli.command(&[&TABLE[..], &["--submit", "slurm"]].concat());
    submit.env("PATH", &path).env("CALLS", cli.path("calls"));
    cli.ran(submit.output().unwrap()).ok();

    let mut job = Command::new("bash");
    job.arg(cli.path("experiments/table1/slurm/tables.sh")).current_dir(cli.path("."));
    job.env("PATH", &path).env("CALLS", cli.path("calls")).env("SLURM_JOB_ID", "7");
    let job = begun(&cli, job, "experiments/table1/runs/blue-umbrella--long");
    signal("USR1", job.id(), false);
    let ran = cli.ran(job.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(text(&cli, "calls").ends_with("requeue 7\n"), "{}", text(&cli, "calls"));
}

#[cfg(unix)]
#[test]
fn a_grid_becomes_jobs_of_slurm_whose_tasks_make_single_runs() {
    let cli = Cli::new();
    grid(&cli, "", STEPS);
    let path = slurm(&cli);
    let submitted = |folder: &str| {
        let submit = ["--submit", "slurm", "--runs-per-task", "2", "--", "--gres=gpu:1"];
        let mut command = cli.command(&[&TABLE[..], &["-o", folder], &submit].concat());
        command.env("PATH", &path).env("CALLS", cli.path("calls"));
        cli.ran(command.output().unwrap()).ok();
        let calls = text(&cli, "calls");
        fs::remove_file(cli.path("calls")).unwrap();
        calls
    };
    let open = cli.run(&[&TABLE[..], &["--status"]].concat()).ok();
    assert_eq!(open.matches("open ").count(), 4, "{open}");
    assert!(!cli.path("experiments").exists(), "a status makes nothing");
    let mut without_slurm = cli.command(&[&TABLE[..], &["--submit", "slurm"]].concat());
    let refused = cli.ran(without_slurm.env("PATH", cli.path("none")).output().unwrap());
    assert!(refused.stderr.starts_with("error: `sbatch` cannot be started"), "{refused:?}");
    assert_eq!(refused.code, Some(2));
    assert!(!cli.path("experiments").exists(), "nothing is left behind");

    let calls = submitted("experiments/table1");
    let calls: Vec<&str> = calls.lines().collect();
    let folder = "experiments/table1/slurm";
    let call = |after: &str, script: &str| {
        format!("--parsable --gres=gpu:1 {after}{}", cli.path(folder).join(script).display())
    };
    let afterany = "--dependency=afterany:";
    assert_eq!(calls[0], call("", "runs-1.sh"));
    assert_eq!(calls[1], call(&format!("{afterany}1 "), "runs-2.sh"));
    assert_eq!(calls[2], call(&format!("{afterany}1:2 "), "tables.sh"));
    let script = text(&cli, &format!("{folder}/runs-1.sh"));
    assert!(script.contains("#SBATCH --array=0-0\n"), "{script}");
    let runs = "'--run blue-umbrella--clip-s --run koala--clip-s'";
    assert!(script.contains(runs), "{script}");

    let run = ["--run", "koala--clip-s"];
    cli.run(&[&TABLE[..], &run].concat()).ok();
    assert!(cli.path("experiments/table1/runs/koala--clip-s/result.json").is_file());
    assert!(!cli.path("experiments/table1/table1.md").exists(), "a single run makes no tables");
    let status = cli.run(&[&TABLE[..], &["--status"]].concat()).ok();
    assert!(status.contains("done       koala--clip-s: stopped after"), "{status}");
    assert_eq!(status.matches("open ").count(), 3, "{status}");
    submitted("experiments/table1");
    assert!(!text(&cli, &format!("{folder}/runs-1.sh")).contains("koala--clip-s"));
    submitted("my grid");
    let log = cli.path("my grid/slurm/%A_%a.log");
    let quoted = format!("#SBATCH --output=\"{}\"\n", log.display());
    assert!(text(&cli, "my grid/slurm/runs-1.sh").contains(&quoted));

    let unknown = cli.run(&[&TABLE[..], &["--run", "koala--clips"]].concat());
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("`koala--clip-s`"), "{unknown:?}");
}
