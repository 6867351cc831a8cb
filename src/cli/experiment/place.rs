//! One run of a grid: its files, and its process.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use crate::{
    callbacks::Seconds,
    cli::{
        CliError, input, output,
        run_folder::{RunFolder, is_run},
        train::RunResult,
    },
    config::TrainOptions,
};

/// How often Ctrl-C, or the system, asked for the end.
pub(super) type Interrupts = Arc<AtomicUsize>;

const POLL: Duration = Duration::from_millis(50);

/// How the file that a run is begun with begins; what stands for the model's files follows.
const MODEL: &str = "# model ";

/// The files of one run: its folder, and others beside it with the same name.
pub(super) struct Place(PathBuf);

/// What a finished run gave.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub result: RunResult,
    /// Of training, samples on the way included.
    pub seconds: f64,
}

impl Place {
    pub(super) fn new(runs: &Path, run: &str) -> Self {
        Self(runs.join(run))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.with_extension("log")
    }

    /// What the run is begun with.
    fn begin(&self) -> PathBuf {
        self.0.with_extension("toml")
    }

    fn lock_file(&self) -> PathBuf {
        self.0.with_extension("lock")
    }

    fn failed(&self) -> PathBuf {
        self.0.with_extension("failed")
    }

    /// The options that the run was made with, if it was begun.
    pub(super) fn saved(&self) -> Result<Option<TrainOptions>, CliError> {
        is_run(&self.0).then(|| RunFolder::open(&self.0)?.options()).transpose()
    }

    /// What stood for the files of its model and its scorer when the run was begun; a folder that came from
    /// elsewhere, or from an older version, does not tell.
    pub(super) fn model_mark(&self) -> Option<String> {
        let text = fs::read_to_string(self.begin()).ok()?;
        text.lines().next()?.strip_prefix(MODEL).map(String::from)
    }

    /// The result, if the run is finished.
    pub(super) fn done(&self) -> Result<Option<Done>, CliError> {
        if !is_run(&self.0) {
            return Ok(None);
        }
        let folder = RunFolder::open(&self.0)?;
        // what a run writes last
        if !folder.report().is_file() {
            return Ok(None);
        }
        let Some(result) = input::if_there(input::bytes(&folder.result()))? else {
            return Ok(None);
        };
        let unusable = |path: &Path, error: serde_json::Error| {
            CliError::Input(format!(
                "`{}` is no result of this program ({error}); remove the run's folder to make it again",
                path.display()
            ))
        };
        let result = serde_json::from_slice(&result).map_err(|e| unusable(&folder.result(), e))?;
        let timing: Seconds = serde_json::from_slice(&input::bytes(&folder.timing())?)
            .map_err(|e| unusable(&folder.timing(), e))?;
        Ok(Some(Done { result, seconds: timing.train_seconds }))
    }

    /// When the run failed last, and why.
    pub(super) fn failure(&self) -> Option<(SystemTime, String)> {
        let reason = fs::read_to_string(self.failed()).ok()?;
        Some((fs::metadata(self.failed()).ok()?.modified().ok()?, reason.trim().to_string()))
    }

    /// Takes the run for this process, until the file is closed by it and on Unix by the run's process too;
    /// none if another has it.
    pub(super) fn lock(&self) -> Result<Option<File>, CliError> {
        let path = self.lock_file();
        let file = output::open_lock(&path).map_err(|error| CliError::write(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(CliError::Failed(format!(
                "cannot lock `{}`: {error}; processes can only share a folder where files can be locked",
                path.display()
            ))),
        }
    }

    /// Whether a process makes the run now.
    pub(super) fn is_taken(&self) -> Result<bool, CliError> {
        Ok(self.lock_file().exists() && self.lock()?.is_none())
    }

    /// Makes the run, or goes on with it, by `dvar train` in a process of its own, and keeps the
    /// reason of a failure.
    pub(super) fn run(
        &self,
        options: &TrainOptions,
        model_mark: &str,
        device: &str,
        lock: File,
        interrupts: &Interrupts,
    ) -> Result<(), CliError> {
        output::remove_alone(&self.failed())?;
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.arg("train");
        if is_run(&self.0) {
            command.arg("--resume").arg(&self.0);
        } else {
            let text = format!("{MODEL}{model_mark}\n{}", options.to_toml()?);
            output::write_alone(&self.begin(), text.as_bytes())?;
            command.arg("--config").arg(self.begin()).arg("--output-dir").arg(&self.0);
        }
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.map_err(|error| CliError::write(&self.log(), error))?;
        let stderr = log.try_clone()?;
        // As the run's standard input, which it does not read, the lock outlives this process on Unix
        // if only that is killed: no other then goes on with a run that still runs. On Windows only
        // who took a lock has it; there the run keeps others out by its folder's, and they take it for failed.
        command.args(["--device", device]).stdin(lock).stdout(log).stderr(stderr);
        apart(&mut command);
        let status = wait(command.spawn()?, interrupts)?;
        match status.code() {
            Some(0) => Ok(()),
            Some(130) => Err(CliError::Interrupted),
            // before it could hear of it, or by who would not wait: that is no failure of the run
            code if ended_from_outside(code) && interrupts.load(Ordering::Relaxed) > 0 => {
                Err(CliError::Interrupted)
            }
            _ => {
                let reason = self.reason(status)?;
                output::write_alone(&self.failed(), format!("{reason}\n").as_bytes())
            }
        }
    }

    /// The program's last words, or what ended it without any.
    fn reason(&self, status: ExitStatus) -> Result<String, CliError> {
        let log = input::bytes(&self.log())?;
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        // a hint may follow
        let error = log.lines().rev().find_map(|line| line.strip_prefix("error: "));
        Ok(match (status.code(), error) {
            (Some(1 | 2), Some(error)) => error.to_string(),
            _ => format!("it ended by {status} after `{last}`"),
        })
    }
}

/// Whether the system ended a process: on Unix by a signal, on Windows, for one that does not hear of Ctrl-C
/// yet, with this code.
fn ended_from_outside(code: Option<i32>) -> bool {
    const CONTROL_C_EXIT: i32 = 0xC000_013A_u32 as i32;
    matches!(code, None | Some(CONTROL_C_EXIT))
}

/// Ctrl-C in a terminal then reaches this process alone, which passes it on: once, wherever it
/// came from. A second one would end the run at once.
#[cfg(unix)]
fn apart(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn apart(_command: &mut Command) {}

/// Asks the run to end after its step, by the shell's own `kill`: small containers have no other.
#[cfg(unix)]
fn interrupt(child: &mut Child) -> io::Result<()> {
    let run = child.id().to_string();
    Command::new("/bin/sh").args(["-c", "kill -INT \"$0\"", &run]).status().map(drop)
}

/// Elsewhere the console asks every process on it.
#[cfg(not(unix))]
fn interrupt(_child: &mut Child) -> io::Result<()> {
    Ok(())
}

fn wait(mut child: Child, interrupts: &Interrupts) -> Result<ExitStatus, CliError> {
    let mut passed_on = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupts.load(Ordering::Relaxed) > passed_on {
            passed_on += 1;
            interrupt(&mut child)?;
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ctrl_c_ends_at_once_is_told_from_what_ends_by_itself() {
        // as Windows tells it: "exit code: 0xc000013a"
        for (code, ended) in [(None, true), (Some(-1_073_741_510), true), (Some(1), false)] {
            assert_eq!(ended_from_outside(code), ended);
        }
    }
}
