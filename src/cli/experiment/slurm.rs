//! A grid as jobs of a Slurm cluster: job arrays, a task for each run or a few, and a job that makes
//! what is left and the tables.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use super::grid::Cell;
use crate::cli::{CliError, counted::counted, output, shell::single_quoted};

/// Most tasks of a job array: Slurm takes no more where its `MaxArraySize` is left as it is.
const MOST_TASKS: usize = 1000;

/// What is submitted.
pub(super) struct Jobs<'a> {
    pub experiment: &'static str,
    /// Where the scripts and the tasks' logs go.
    pub folder: PathBuf,
    /// The command line that makes the whole grid, the program first.
    pub command: Vec<String>,
    pub runs_per_task: usize,
    /// What the user gives `sbatch`.
    pub options: &'a [String],
}

impl Jobs<'_> {
    /// Submits the runs of these cells, those that take their steps from others after them, and then
    /// the tables.
    pub(super) fn submit(&self, cells: &[&Cell]) -> Result<(), CliError> {
        output::create_folder(&self.folder)?;
        let mut jobs: Vec<String> = Vec::new();
        for Array { after, tasks } in arrays(cells, self.runs_per_task) {
            let name = format!("runs-{}", jobs.len() + 1);
            let id = self.start(&name, &self.array(&tasks)?, &jobs[..after])?;
            let runs = counted(tasks.iter().map(Vec::len).sum(), "run");
            println!("submitted  job {id}: {runs} in {}", counted(tasks.len(), "task"));
            jobs.push(id);
        }
        let id = self.start("tables", &self.tables()?, &jobs)?;
        println!("submitted  job {id}: the tables, when all runs have ended");
        println!("scripts    {}", self.folder.display());
        Ok(())
    }

    fn array(&self, tasks: &[Vec<&Cell>]) -> Result<String, CliError> {
        let mut lines = String::new();
        for task in tasks {
            let runs: Vec<_> = task.iter().flat_map(|cell| ["--run", &*cell.run]).collect();
            lines += &format!("    {}\n", single_quoted(&runs.join(" ")));
        }
        let head = self.head(&format!("#SBATCH --array=0-{}\n", tasks.len() - 1), "%A_%a")?;
        let work = self.work(
            " ${runs[$SLURM_ARRAY_TASK_ID]}",
            "\"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\"",
        );
        Ok(format!("{head}\nruns=(\n{lines})\n{work}"))
    }

    fn tables(&self) -> Result<String, CliError> {
        Ok(format!("{}\n{}", self.head("", "%j")?, self.work("", "\"$SLURM_JOB_ID\"")))
    }

    /// Runs the command with `more` behind it. When the time of the job, which Slurm calls `id`, is
    /// nearly up, the command saves, and the job goes back into the queue.
    fn work(&self, more: &str, id: &str) -> String {
        let command =
            self.command.iter().map(|word| single_quoted(word)).collect::<Vec<_>>().join(" ");
        format!(
            "{command}{more} &
child=$!
# two minutes before its time is up
trap 'late=yes; kill -TERM $child' USR1
wait $child
code=$?
# a signal ends the waiting before the program
while kill -0 $child 2>/dev/null; do
    wait $child
    code=$?
done
# saved in time: the job goes on later
if [ $code = 130 ] && [ -n \"$late\" ]; then
    scontrol requeue {id}
fi
exit $code
"
        )
    }

    fn head(&self, more: &str, log: &str) -> Result<String, CliError> {
        Ok(format!(
            "#!/bin/bash
#SBATCH --job-name=dvar-{}
{more}#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append
#SBATCH --chdir=\"{}\"
#SBATCH --output=\"{}\"
",
            self.experiment,
            std::env::current_dir()?.display(),
            self.folder.join(format!("{log}.log")).display()
        ))
    }

    /// Writes a script and submits it, to begin when these jobs have ended.
    fn start(&self, name: &str, script: &str, after: &[String]) -> Result<String, CliError> {
        let file = self.folder.join(format!("{name}.sh"));
        output::write(&file, script.as_bytes())?;
        let mut command = Command::new("sbatch");
        command.arg("--parsable").args(self.options);
        if !after.is_empty() {
            command.arg(format!("--dependency=afterany:{}", after.join(":")));
        }
        let ran = command.arg(&file).output().map_err(cannot_start)?;
        if !ran.status.success() {
            return Err(CliError::Input(format!(
                "`sbatch` refuses `{}`: {}; options for it go behind `--`, and `--runs-per-task` makes fewer tasks",
                file.display(),
                String::from_utf8_lossy(&ran.stderr).trim()
            )));
        }
        let id = String::from_utf8_lossy(&ran.stdout);
        // on a federation the cluster's name follows
        Ok(id.trim().split(';').next().unwrap_or_default().to_string())
    }
}

/// Refuses to submit where Slurm is not, before anything is written.
pub(super) fn check_is_here() -> Result<(), CliError> {
    Command::new("sbatch").arg("--version").output().map(drop).map_err(cannot_start)
}

fn cannot_start(error: io::Error) -> CliError {
    CliError::Input(format!(
        "`sbatch` cannot be started ({error}); submit where Slurm's commands are installed"
    ))
}

/// The tasks of a job array, each with its runs.
struct Array<'a> {
    /// How many of the arrays before it must have ended.
    after: usize,
    tasks: Vec<Vec<&'a Cell>>,
}

/// The arrays in the order in which they are submitted.
fn arrays<'a>(cells: &[&'a Cell], runs_per_task: usize) -> Vec<Array<'a>> {
    let mut arrays = Vec::new();
    for cells in levels(cells) {
        let after = arrays.len();
        let tasks: Vec<_> = cells.chunks(runs_per_task).map(<[_]>::to_vec).collect();
        arrays.extend(tasks.chunks(MOST_TASKS).map(|tasks| Array { after, tasks: tasks.to_vec() }));
    }
    arrays
}

/// The cells by how many others have to be done before them.
fn levels<'a>(cells: &[&'a Cell]) -> Vec<Vec<&'a Cell>> {
    let mut levels: Vec<Vec<&Cell>> = Vec::new();
    for cell in cells {
        // a variant takes its steps from one before it
        let from = cell.steps_from.as_ref().and_then(|from| {
            levels.iter().rposition(|level| level.iter().any(|c| c.variant == from.variant))
        });
        let level = from.map_or(0, |level| level + 1);
        if levels.len() == level {
            levels.push(Vec::new());
        }
        levels[level].push(cell);
    }
    levels
}

/// The command line of a whole grid, with paths that hold in any folder.
pub(super) fn command(
    experiment: &str,
    grid: Option<&Path>,
    folder: &Path,
    device: &str,
) -> Result<Vec<String>, CliError> {
    let text = |path: &Path| Ok::<_, CliError>(std::path::absolute(path)?.display().to_string());
    let mut command =
        vec![text(&std::env::current_exe()?)?, "experiment".into(), experiment.into()];
    if let Some(grid) = grid {
        command.extend(["--grid".into(), text(grid)?]);
    }
    command.extend(["--output-dir".into(), text(folder)?, "--device".into(), device.into()]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_tasks_than_slurm_takes_at_once_are_several_arrays() {
        let first: Vec<_> = (0..2001).map(|n| Cell::named(&format!("{n}--x"), None)).collect();
        let later: Vec<_> = (0..3).map(|n| Cell::named(&format!("{n}--few"), Some("x"))).collect();
        let cells: Vec<&Cell> = first.iter().chain(&later).collect();
        let sizes = |runs_per_task| -> Vec<_> {
            let arrays = arrays(&cells, runs_per_task).into_iter();
            arrays
                .map(|a| (a.after, a.tasks.len(), a.tasks.iter().map(Vec::len).sum::<usize>()))
                .collect()
        };
        assert_eq!(sizes(1), [(0, 1000, 1000), (0, 1000, 1000), (0, 1, 1), (3, 3, 3)]);
        assert_eq!(sizes(4), [(0, 501, 2001), (1, 1, 3)]);
    }
}
