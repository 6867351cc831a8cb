//! The runs of a grid, one after the other, beside other processes that work on the same.

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    thread,
    time::{Duration, SystemTime},
};

use indicatif::ProgressBar;

use super::{
    grid::Cell,
    place::{Done, Interrupts, Place},
};
use crate::{
    cli::{CliError, counted::counted},
    config::TrainOptions,
};

/// Between two looks at what other processes do.
const POLL: Duration = Duration::from_millis(500);

/// What came of a run.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Done(Done),
    Failed(String),
}

/// A run that nothing more is to be done for.
pub(super) struct Finished<'a> {
    pub cell: &'a Cell,
    pub folder: PathBuf,
    /// With the number of steps that other runs gave.
    pub options: TrainOptions,
    pub outcome: Outcome,
}

impl Finished<'_> {
    pub(super) fn failure(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Done(_) => None,
            Outcome::Failed(reason) => Some(reason),
        }
    }

    pub(super) fn done(&self) -> Option<&Done> {
        match &self.outcome {
            Outcome::Done(done) => Some(done),
            Outcome::Failed(_) => None,
        }
    }
}

/// The options of a run, as far as they can be known.
enum Options {
    Known(Box<TrainOptions>),
    /// Runs that it takes its steps from are not finished.
    Open,
    /// One of them failed.
    Never(String),
}

pub(super) struct Queue<'a> {
    cells: &'a [Cell],
    source: &'a str,
    runs: PathBuf,
    outcomes: Vec<Option<Outcome>>,
    /// Failures of earlier calls, which are tried again; a later one is another process' answer.
    failed_before: Vec<Option<SystemTime>>,
    interrupts: Interrupts,
}

impl<'a> Queue<'a> {
    /// Looks at what is there already.
    ///
    /// # Errors
    ///
    /// [`CliError::Input`] if a run was made with other options than the grid's.
    pub(super) fn new(
        cells: &'a [Cell],
        source: &'a str,
        runs: &Path,
        interrupts: Interrupts,
    ) -> Result<Self, CliError> {
        let failed = |cell: &Cell| Place::new(runs, &cell.run).failure().map(|(time, _)| time);
        let mut queue = Self {
            cells,
            source,
            runs: runs.to_path_buf(),
            outcomes: vec![None; cells.len()],
            failed_before: cells.iter().map(failed).collect(),
            interrupts,
        };
        for index in 0..cells.len() {
            queue.look(index)?;
        }
        Ok(queue)
    }

    pub(super) fn count_done(&self) -> usize {
        self.outcomes.iter().flatten().filter(|o| matches!(o, Outcome::Done(_))).count()
    }

    /// The runs that are not done.
    pub(super) fn open(&self) -> Vec<&'a Cell> {
        let done = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Done(_)));
        let cells = self.cells.iter().zip(&self.outcomes);
        cells.filter(|(_, outcome)| !done(outcome)).map(|(cell, _)| cell).collect()
    }

    /// Makes every run that no other process makes, then waits for those.
    pub(super) fn work(&mut self, device: &str) -> Result<(), CliError> {
        let mut waiting = false;
        loop {
            let (mut open, mut ran) = (0, false);
            for index in 0..self.cells.len() {
                self.check_interrupts()?;
                if self.look(index)?.is_some() {
                    continue;
                }
                open += 1;
                let place = Place::new(&self.runs, &self.cells[index].run);
                let Options::Known(options) = self.options(index)? else { continue };
                let Some(lock) = place.lock()? else { continue };
                // its last holder may have finished it
                if self.look(index)?.is_none() {
                    self.run(index, &place, &options, device, lock)?;
                    ran = true;
                }
            }
            if open == 0 {
                return Ok(());
            }
            if !ran {
                if !waiting {
                    let open = counted(open, "run");
                    println!("waiting    for {open}, by other processes or after theirs");
                    waiting = true;
                }
                thread::sleep(POLL);
            }
        }
    }

    /// All runs, once [`work`](Self::work) returned.
    pub(super) fn finished(mut self) -> Result<Vec<Finished<'a>>, CliError> {
        let mut finished = Vec::new();
        for (index, cell) in self.cells.iter().enumerate() {
            // what failed here another process may have made since
            if let Some(Outcome::Failed(_)) = &self.outcomes[index] {
                self.outcomes[index] = self.find(index)?.or(self.outcomes[index].take());
            }
            let options = match self.options(index)? {
                Options::Known(options) => *options,
                Options::Open | Options::Never(_) => {
                    let mut options = cell.options.clone();
                    // what it would have without the others
                    options.training.max_train_steps = None;
                    options
                }
            };
            let Some(outcome) = self.outcomes[index].clone() else { continue };
            let folder = self.runs.join(&cell.run);
            finished.push(Finished { cell, folder, options, outcome });
        }
        Ok(finished)
    }

    fn run(
        &mut self,
        index: usize,
        place: &Place,
        options: &TrainOptions,
        device: &str,
        lock: std::fs::File,
    ) -> Result<(), CliError> {
        let cell = &self.cells[index];
        let name =
            format!("[{}/{}] {}, {}", index + 1, self.cells.len(), cell.concept, cell.variant);
        let bar = ProgressBar::new_spinner();
        bar.set_message(format!("{name}: see {}", place.log().display()));
        bar.enable_steady_tick(Duration::from_millis(100));
        let ran = place.run(options, &cell.model_mark, device, lock, &self.interrupts);
        bar.finish_and_clear();
        ran?;
        match self.look(index)? {
            Some(Outcome::Done(done)) => println!("{name}: {}", summary(done)),
            Some(Outcome::Failed(reason)) => println!("{name}: failed: {reason}"),
            None => {
                return Err(CliError::Failed(format!(
                    "the run `{}` ended without a result; see `{}`",
                    place.folder().display(),
                    place.log().display()
                )));
            }
        }
        Ok(())
    }

    /// What came of a run, if it is finished.
    fn look(&mut self, index: usize) -> Result<Option<&Outcome>, CliError> {
        if self.outcomes[index].is_none() {
            self.outcomes[index] = self.find(index)?;
        }
        Ok(self.outcomes[index].as_ref())
    }

    fn find(&mut self, index: usize) -> Result<Option<Outcome>, CliError> {
        let options = match self.options(index)? {
            Options::Known(options) => options,
            Options::Open => return Ok(None),
            Options::Never(reason) => return Ok(Some(Outcome::Failed(reason))),
        };
        let place = Place::new(&self.runs, &self.cells[index].run);
        if let Some(saved) = place.saved()? {
            self.check_saved(&place, &saved, &options)?;
            check_model(&place, &self.cells[index])?;
        }
        if let Some(done) = place.done()? {
            check_pictures(&place, &done, &self.cells[index])?;
            return Ok(Some(Outcome::Done(done)));
        }
        let failure = place.failure().filter(|(time, _)| Some(*time) != self.failed_before[index]);
        Ok(failure.map(|(_, reason)| Outcome::Failed(reason)))
    }

    fn options(&mut self, index: usize) -> Result<Options, CliError> {
        let cell = &self.cells[index];
        let known = |options| Ok(Options::Known(Box::new(options)));
        let Some(from) = &cell.steps_from else { return known(cell.options.clone()) };
        let mut steps = Vec::new();
        for (source, other) in self.cells.iter().enumerate() {
            if other.variant != from.variant {
                continue;
            }
            match self.look(source)? {
                Some(Outcome::Done(done)) => steps.push(done.result.steps),
                Some(Outcome::Failed(_)) => {
                    return Ok(Options::Never(format!(
                        "its number of steps is the {} of `{}`, whose run of {} failed",
                        from.statistic.name(),
                        from.variant,
                        other.concept
                    )));
                }
                None => return Ok(Options::Open),
            }
        }
        let mut options = cell.options.clone();
        options.training.max_train_steps = Some(from.statistic.of(&steps));
        known(options)
    }

    /// A run that was made with other options must not count for these.
    fn check_saved(
        &self,
        place: &Place,
        saved: &TrainOptions,
        wanted: &TrainOptions,
    ) -> Result<(), CliError> {
        if saved == wanted {
            return Ok(());
        }
        let table = |options| toml::Table::try_from(options);
        let (saved, wanted) = (table(saved)?, table(wanted)?);
        let said = |table: &toml::Table, key: &str| {
            table.get(key).map_or("nothing".into(), |value| format!("`{key} = {value}`"))
        };
        let key = saved.keys().chain(wanted.keys()).find(|key| saved.get(*key) != wanted.get(*key));
        let key = key.map_or("", String::as_str);
        Err(CliError::Input(format!(
            "the run `{}` was made with {}, the grid `{}` says {}; remove the run's folder or choose another one with `--output-dir`",
            place.folder().display(),
            said(&saved, key),
            self.source,
            said(&wanted, key)
        )))
    }

    fn check_interrupts(&self) -> Result<(), CliError> {
        match self.interrupts.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(CliError::Interrupted),
        }
    }
}

/// A run that was made of other pictures must not count for these. One that is not done yet is refused
/// by its own state, as it goes on.
fn check_pictures(place: &Place, done: &Done, cell: &Cell) -> Result<(), CliError> {
    if done.result.pictures.as_ref().is_none_or(|made_of| *made_of == cell.pictures) {
        return Ok(());
    }
    Err(CliError::Input(format!(
        "the run `{}` was made of other pictures than are in `{}` now; remove the run's folder or choose another one with `--output-dir`",
        place.folder().display(),
        cell.options.data.train_data_dir.clone().unwrap_or_default().display()
    )))
}

/// A run that was begun with another model, or scored by another CLIP, must not count for these, nor go on.
fn check_model(place: &Place, cell: &Cell) -> Result<(), CliError> {
    if place.model_mark().is_none_or(|begun_with| begun_with == cell.model_mark) {
        return Ok(());
    }
    Err(CliError::Input(format!(
        "the run `{}` was begun with other files of its model, {}, or of its CLIP than are there now; remove the run's folder or choose another one with `--output-dir`",
        place.folder().display(),
        cell.model
    )))
}

/// Says how far a grid is; makes and changes nothing.
pub(super) fn status(cells: &[Cell], source: &str, runs: &Path) -> Result<(), CliError> {
    let queue = Queue::new(cells, source, runs, Interrupts::default())?;
    println!("grid       {source}: {} of {} runs done", queue.count_done(), cells.len());
    for (cell, outcome) in cells.iter().zip(&queue.outcomes) {
        let place = Place::new(runs, &cell.run);
        let failure = place.failure().map(|(_, reason)| reason);
        match (outcome, &failure) {
            (Some(Outcome::Done(done)), _) => {
                println!("done       {}: {}", cell.run, summary(done))
            }
            _ if place.is_taken()? => {
                println!("running    {}: see {}", cell.run, place.log().display())
            }
            (Some(Outcome::Failed(reason)), _) | (None, Some(reason)) => {
                println!("failed     {}: {reason}", cell.run);
            }
            (None, None) => println!("open       {}", cell.run),
        }
    }
    Ok(())
}

fn summary(done: &Done) -> String {
    let score = done.result.clip_i.map_or_else(String::new, |score| format!(", CLIP-I {score:.3}"));
    let minutes = done.seconds / 60.0;
    let steps = counted(done.result.steps, "step");
    format!("stopped after {steps}{score}, {minutes:.1} min")
}
