//! `dvar experiment`

mod figure;
mod grid;
mod paper;
mod place;
mod queue;
mod report;
mod semi_deterministic;
mod slurm;
mod statistics;
mod study;
mod table;
mod variant;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use self::{
    grid::Grid,
    paper::Experiment,
    place::Interrupts,
    queue::{Finished, Queue},
    slurm::Jobs,
};
use super::{
    CliError, counted::counted, device, end_request::on_end_request, input, output,
    run_folder::is_run,
};

/// Flags of `dvar experiment`.
#[derive(Debug, clap::Args)]
pub(super) struct ExperimentArgs {
    /// Which of the paper's experiments
    #[arg(value_name = "NAME")]
    experiment: Experiment,
    /// File with the concepts and the variants [default: a small grid for the default model, on concepts of dvar's repository]
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// Folder to write to, or to go on in; several processes with the same folder share the work [default: experiments/NAME]
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// cpu, wgpu, cuda:0, ... (see `dvar devices`), or auto: the best GPU there is, else the CPU
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Make only this run, named CONCEPT--VARIANT as its folder is, and the runs that it takes its number of steps from; make no tables; may be repeated
    #[arg(long, value_name = "RUN")]
    run: Vec<String>,
    /// Only say which runs are done, running, failed or still to be made
    #[arg(long, conflicts_with = "run")]
    status: bool,
    /// Make the runs on a cluster: write job scripts and submit them
    #[arg(long, value_name = "SYSTEM", conflicts_with_all = ["run", "status"])]
    submit: Option<Cluster>,
    /// Runs of each task of a job array
    #[arg(long, value_name = "N", default_value = "1", requires = "submit")]
    runs_per_task: NonZeroUsize,
    /// More options for `sbatch`, behind `--`, such as `-- --gres=gpu:1`
    #[arg(last = true, value_name = "OPTION", requires = "submit")]
    sbatch: Vec<String>,
}

/// What runs jobs.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Cluster {
    /// Slurm, by `sbatch`
    Slurm,
}

pub(super) fn run(args: &ExperimentArgs) -> Result<(), CliError> {
    let name = args.experiment.name();
    device::check_name(&args.device)?;
    let grid = read_grid(args)?;
    let cells = grid.cells(&args.run)?;
    match args.submit {
        Some(Cluster::Slurm) => slurm::check_is_here()?,
        None if args.status => {}
        None => device::check_is_there(&args.device)?,
    }
    let folder = args.output_dir.clone().unwrap_or_else(|| Path::new("experiments").join(name));
    if is_run(&folder) {
        return Err(CliError::Input(format!(
            "`{}` is the folder of one run; choose another one for the experiment with `--output-dir`",
            folder.display()
        )));
    }
    let runs = folder.join("runs");
    if args.status {
        return queue::status(&cells, &grid.source, &runs);
    }
    std::fs::create_dir_all(&runs).map_err(|error| {
        CliError::Input(format!(
            "the output folder `{}` cannot be created ({error}); choose another one with `--output-dir`",
            folder.display()
        ))
    })?;
    let interrupts = interrupts_by_ctrl_c()?;
    let mut queue = Queue::new(&cells, &grid.source, &runs, interrupts)?;
    let concepts = counted(grid.concepts.len(), "concept");
    let variants = counted(grid.variants.len(), "variant");
    let asked_for = if args.run.is_empty() { "run" } else { "wanted run" };
    println!(
        "grid       {}: {concepts}, {variants}, {} of {} done",
        grid.source,
        queue.count_done(),
        counted(cells.len(), asked_for)
    );
    println!("output     {}", folder.display());
    if let Some(Cluster::Slurm) = args.submit {
        let jobs = Jobs {
            experiment: name,
            folder: std::path::absolute(folder.join("slurm"))?,
            command: slurm::command(name, args.grid.as_deref(), &folder, &args.device)?,
            runs_per_task: args.runs_per_task.get(),
            options: &args.sbatch,
        };
        return jobs.submit(&queue.open());
    }
    queue.work(&args.device).inspect_err(|error| {
        if let CliError::Interrupted = error {
            println!("stopped    interrupted; the same command goes on");
        }
    })?;
    let finished = queue.finished()?;
    if !args.run.is_empty() {
        return check_named(&args.run, &finished);
    }
    let _turn = output::in_turn(&runs.join("tables.lock"))?;
    write_results(args.experiment, &grid, &folder, &finished)
}

/// The failure of one of the runs that the user named, where one failed.
fn check_named(named: &[String], finished: &[Finished<'_>]) -> Result<(), CliError> {
    let named = finished.iter().filter(|run| named.contains(&run.cell.run));
    match named.filter_map(Finished::failure).next() {
        None => Ok(()),
        Some(reason) => Err(CliError::Failed(format!("{reason}; the same command tries it again"))),
    }
}

/// Writes what came of all runs, says where, and fails if one of them did.
fn write_results(
    experiment: Experiment,
    grid: &Grid,
    folder: &Path,
    finished: &[Finished<'_>],
) -> Result<(), CliError> {
    let name = experiment.name();
    report::write_runs(folder, finished)?;
    match experiment {
        Experiment::SemiDeterministic => {
            semi_deterministic::write_results(folder, name, finished)?;
        }
        _ => report::write_results(folder, name, grid, finished)?,
    }
    let file = |ending: &str| folder.join(format!("{name}.{ending}")).display().to_string();
    println!("table      {}, {}", file("md"), file("csv"));
    println!("figure     {}", file("svg"));
    println!("runs       {}", folder.join("runs.csv").display());
    match finished.iter().filter(|run| run.failure().is_some()).count() {
        0 => Ok(()),
        failed => Err(CliError::Failed(format!(
            "{failed} of {} runs failed, `{}` says why; the same command tries them again",
            finished.len(),
            file("md")
        ))),
    }
}

fn read_grid(args: &ExperimentArgs) -> Result<Grid, CliError> {
    if let Some(file) = &args.grid {
        return Grid::parse(args.experiment, &input::text(file)?, file.display().to_string());
    }
    let source = format!("{} (built in)", args.experiment.name());
    let grid = Grid::parse(args.experiment, args.experiment.grid(), source)?;
    let folders = grid.concepts.iter().filter_map(|c| c.options.data.train_data_dir.as_deref());
    for folder in folders {
        if !folder.is_dir() {
            return Err(CliError::Input(format!(
                "the built-in grid takes concepts of dvar's repository, and `{}` is not here; run it in the repository's folder, or give a grid of your own with `--grid`",
                folder.display()
            )));
        }
    }
    Ok(grid)
}

fn interrupts_by_ctrl_c() -> Result<Interrupts, CliError> {
    let interrupts = Interrupts::default();
    let count = interrupts.clone();
    on_end_request(move || {
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("\nstopping; press Ctrl-C again to stop at once");
        }
    })?;
    Ok(interrupts)
}
