//! A grid on a cluster.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use super::{STEPS, TABLE, begun, grid, text};
use crate::harness::{Cli, signal};

/// A `PATH` with a `sbatch` that only notes how it was called, and gives the numbers 1, 2, 3, and a
/// `scontrol` like it.
fn slurm(cli: &Cli) -> String {
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
    signal("USR1", &job);
    let ran = cli.ran(job.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(text(&cli, "calls").ends_with("requeue 7\n"), "{}", text(&cli, "calls"));
}

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
