//! `dvar experiment`

mod figure;
mod grid;
mod place;
mod queue;
mod report;
mod semi_deterministic;
mod statistics;
mod table;

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use self::{grid::Grid, place::Interrupts, queue::Queue};
use super::{CliError, device};

/// Flags of `dvar experiment`.
#[derive(Debug, clap::Args)]
pub(super) struct ExperimentArgs {
    /// Which of the paper's experiments
    #[arg(value_name = "NAME")]
    experiment: Experiment,
    /// File with the concepts and the variants [default: a small grid for the default model, on concepts of dvar's repository]
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// Folder to write to, or to go on in; processes with the same one share the work [default: experiments/NAME]
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// cpu, wgpu, cuda:0, ... (see `dvar devices`), or auto: the best GPU there is, else the CPU
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
}

/// The paper's experiments (arXiv 2302.04841).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Experiment {
    /// Criteria: baseline, CLIP-s, few iterations, DVAR
    Table1,
    /// Initialisation: best, manual, random
    Table2,
    /// Optimisers: AdamW, SAM
    Table3,
    /// Which factors of the evaluation may be redrawn
    SemiDeterministic,
    /// Textual Inversion, DreamBooth-LoRA and Custom Diffusion, each by baseline and DVAR
    Methods,
    /// Runs without a stop, recorded whole: presets and stopping criteria are judged by them
    Curves,
}

impl Experiment {
    fn name(self) -> &'static str {
        match self {
            Self::Table1 => "table1",
            Self::Table2 => "table2",
            Self::Table3 => "table3",
            Self::SemiDeterministic => "semi-deterministic",
            Self::Methods => "methods",
            Self::Curves => "curves",
        }
    }

    /// The grid in this program.
    fn grid(self) -> &'static str {
        match self {
            Self::Table1 => include_str!("grids/table1.toml"),
            Self::Table2 => include_str!("grids/table2.toml"),
            Self::Table3 => include_str!("grids/table3.toml"),
            Self::SemiDeterministic => {
                include_str!("grids/semi-deterministic.toml")
            }
            Self::Methods => include_str!("grids/methods.toml"),
            Self::Curves => include_str!("grids/curves.toml"),
        }
    }
}

pub(super) fn run(args: &ExperimentArgs) -> Result<(), CliError> {
    let name = args.experiment.name();
    let grid = read_grid(args)?;
    let cells = grid.cells()?;
    device::open(&args.device)?;
    let folder = args.output_dir.clone().unwrap_or_else(|| Path::new("experiments").join(name));
    let runs = folder.join("runs");
    std::fs::create_dir_all(&runs).map_err(|error| {
        CliError::Input(format!(
            "the output folder `{}` cannot be created ({error}); choose another one with `--output-dir`",
            folder.display()
        ))
    })?;
    let interrupts = interrupts_by_ctrl_c()?;
    let mut queue = Queue::new(&cells, &grid.source, &runs, interrupts)?;
    println!(
        "grid       {}: {} concepts, {} variants, {} of {} runs done",
        grid.source,
        grid.concepts.len(),
        grid.variants.len(),
        queue.count_done(),
        cells.len()
    );
    println!("output     {}", folder.display());
    queue.work(&args.device).inspect_err(|error| {
        if let CliError::Interrupted = error {
            println!("stopped    interrupted; the same command goes on");
        }
    })?;
    let finished = queue.finished()?;
    report::write_runs(&folder, &finished)?;
    match args.experiment {
        Experiment::SemiDeterministic => {
            semi_deterministic::write_results(&folder, name, &finished)?;
        }
        _ => report::write_results(&folder, name, &grid, &finished)?,
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
        let text = std::fs::read_to_string(file).map_err(|e| CliError::read(file, e))?;
        return Grid::parse(args.experiment, &text, file.display().to_string());
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
    ctrlc::set_handler(move || {
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("\nstopping; press Ctrl-C again to stop at once");
        }
    })?;
    Ok(interrupts)
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_built_in_grid_is_runs_that_could_begin() {
        for experiment in Experiment::value_variants() {
            let name = experiment.name();
            assert_eq!(experiment.to_possible_value().unwrap().get_name(), name);
            let grid = Grid::parse(*experiment, experiment.grid(), name.into()).unwrap();
            let cells = grid.cells().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(cells.len(), grid.concepts.len() * grid.variants.len());
        }
    }
}
