//! What the command line does along a run: the run's folder, its logs, the progress line.

use std::{
    cell::{Cell, OnceCell},
    io,
    time::Instant,
};

use super::{
    class_pictures, part::Part, progress::Progress, record, search, step_trial::StepTrial,
};
use crate::{
    callbacks::{Checkpoint, Interrupt, MetricsLog, Saves, Timing, write_concept},
    cli::{CliError, device, logs::Logs, output, run_folder::RunFolder, sample_files::write_each},
    concept::Concept,
    config::TrainConfig,
    data::{dataset::Dataset, png::encode_grid},
    early_stopping::StopReason,
    embedding,
    pipelines::{DrawProgress, PipelineError},
    session::{
        Best, DeviceReplicas, Moment, NamedDevice, Observer, Phase, PreparedRun, RankedWords,
        RunError, Session, Shown, TriedWords, WordSearch,
    },
    trainer::{Callback, Callbacks, LocalBoxFuture, Replicas, TrainState},
};

/// Writes to the run's folder and shows how far the run is.
pub(super) struct CommandLine<'a> {
    pub folder: RunFolder,
    config: &'a TrainConfig,
    /// That share the steps with the run's own device.
    other_devices: &'a [NamedDevice],
    /// Steps that were made before the run was resumed, if it was.
    resumed: Option<usize>,
    interrupt: Interrupt,
    loading: Part,
    words: Part,
    class: Part,
    samples: Part,
    saves: Saves,
    /// When this process began: pictures that took long to draw are saved with the first step.
    begun: Instant,
    /// Whether steps are made, and samples drawn between them.
    trains: Cell<bool>,
    /// In place of the progress line.
    dashboard: bool,
    /// Opened when the networks are loaded; until then the folder can go again.
    logs: OnceCell<Logs>,
}

impl<'a> CommandLine<'a> {
    pub(super) fn new(
        run: &'a PreparedRun,
        folder: RunFolder,
        other_devices: &'a [NamedDevice],
        interrupt: Interrupt,
        dashboard: bool,
    ) -> Self {
        let resumed = run.state.as_ref().map(|state| state.step);
        let config = &run.checked.config;
        Self {
            folder,
            config,
            other_devices,
            resumed,
            loading: Part::new("loading the model and encoding the pictures", &interrupt),
            words: Part::new("words", &interrupt),
            class: Part::new("drawing the class", &interrupt),
            samples: Part::new("drawing the samples", &interrupt),
            saves: Saves::every(config.save_steps),
            begun: Instant::now(),
            interrupt,
            trains: Cell::new(false),
            dashboard,
            logs: OnceCell::new(),
        }
    }

    pub(super) fn logs(&self) -> Result<&Logs, CliError> {
        if let Some(logs) = self.logs.get() {
            return Ok(logs);
        }
        let step = self.resumed.unwrap_or(0);
        let logs = Logs::open(self.config, &self.folder, step, self.saves.clone())?;
        Ok(self.logs.get_or_init(|| logs))
    }

    /// Saves what a run had learned that ended by an error; takes the folder back of one that could
    /// not begin.
    pub(super) fn keep_last_good(&self, error: RunError<CliError>) -> CliError {
        let (last_good, error) = (error.last_good, error.cause.into_error());
        if self.logs.get().is_none() {
            self.folder.discard();
        }
        match last_good.map(|concept| write_concept(self.folder.path(), &concept)) {
            Some(Ok(())) => {
                CliError::Kept { error: Box::new(error), file: self.folder.embedding() }
            }
            // the first error is the one to report
            Some(Err(_)) | None => error,
        }
    }

    fn show(&self, Shown { moment, drawn, prompts }: Shown<'_>) -> Result<(), CliError> {
        let (folder, logs) = (&self.folder, self.logs()?);
        let sheet = encode_grid(&drawn.pictures, 4)?;
        match moment {
            Moment::Before => {
                output::write(&folder.samples("before"), &sheet)?;
                logs.picture("samples", 0, &sheet)
            }
            Moment::During { steps, concept } => {
                let folder = folder.checkpoint(steps);
                output::create_folder(&folder)?;
                output::write(&folder.join("samples.png"), &sheet)?;
                logs.picture("samples", steps - 1, &sheet)?;
                write_concept(&folder, concept).map_err(CliError::Part)
            }
            Moment::After { steps } => {
                output::write(&folder.samples("after"), &sheet)?;
                logs.picture("samples", steps, &sheet)?;
                write_each(&folder.sample_folder(), &drawn.pictures, prompts)
            }
            Moment::Unscaled => output::write(&folder.samples("unscaled"), &sheet),
        }
    }
}

impl Observer for CommandLine<'_> {
    type Error = CliError;

    async fn phase(&self, phase: Phase) -> Result<(), CliError> {
        self.loading.end();
        match phase {
            Phase::Encoding => self.loading.begin()?,
            Phase::Searching => self.words.begin()?,
            // between steps the progress line is there
            Phase::Drawing if !self.trains.get() => self.samples.begin()?,
            Phase::Training => self.trains.set(true),
            Phase::Loading | Phase::Drawing => {}
        }
        Ok(())
    }

    async fn search(&self, search: &WordSearch<'_>) -> Result<RankedWords, RunError<CliError>> {
        let found = search::search(search, &self.config.train_data_dir, &self.words).await;
        found.map_err(RunError::observer)
    }

    async fn searching(&self, done: usize, total: usize) -> Result<(), CliError> {
        self.words.told(done, total)
    }

    fn tried(&self, words: &TriedWords) -> Result<(), CliError> {
        self.loading.end();
        let next = words.best.iter().skip(1).take(3);
        let next: Vec<String> = next.map(|(word, loss)| format!("`{word}` {loss:.4}")).collect();
        if let Some((word, loss)) = words.best.first() {
            println!("words      `{word}` of {}, loss {loss:.4}; {}", words.of, next.join(", "));
        }
        Ok(())
    }

    async fn class_pictures(
        &self,
        run: &PreparedRun,
    ) -> Result<Option<Dataset>, RunError<CliError>> {
        let class = class_pictures::load(run, self.folder.class_pictures(), &self.class).await;
        class.map_err(RunError::observer)
    }

    fn ready(&self, session: &Session) -> Result<(), CliError> {
        self.loading.end();
        self.folder.set_options()?;
        self.logs()?;
        if self.config.save_init_embeds && self.resumed.is_none() {
            let vectors = embedding::write(&session.initial);
            output::write(&self.folder.initial_embedding(), &vectors)?;
        }
        if self.config.each_input {
            record::write_evaluation_inputs(&self.folder, &session.evaluation_draws.draw(0))?;
        }
        Ok(())
    }

    async fn replicas<'a>(
        &'a self,
        run: &PreparedRun,
        session: &'a Session,
        class: Option<&Dataset>,
    ) -> Result<Option<Box<dyn Replicas + 'a>>, RunError<CliError>> {
        let others = self.other_devices;
        if others.is_empty() {
            return Ok(None);
        }
        let replicas = DeviceReplicas::start(run, session, class, others, device::hide_reports)?;
        Ok(Some(Box::new(replicas)))
    }

    fn tries_step<'a>(&'a self, run: &'a PreparedRun) -> Option<Box<dyn FnMut() -> bool + 'a>> {
        if !self.other_devices.is_empty() {
            // each computes a part of a step, and they are not there yet
            return None;
        }
        let mut trial = StepTrial::begin(&run.checked)?;
        Some(Box::new(move || trial.made()))
    }

    fn drawing(&self) -> Option<&dyn DrawProgress> {
        Some(self)
    }

    async fn samples(&self, shown: Shown<'_>) -> Result<(), CliError> {
        self.samples.end();
        self.show(shown)
    }

    fn callbacks<'a>(
        &'a self,
        _run: &PreparedRun,
        resumed: Option<&TrainState>,
    ) -> Result<Callbacks<'a>, CliError> {
        let Self { folder, config, .. } = self;
        let (step, saves) = (self.resumed.unwrap_or(0), || self.saves.clone());
        let metrics = MetricsLog::open(&folder.metrics(), step, saves());
        let metrics = metrics.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => record::no_log(folder, &error),
            _ => CliError::write(&folder.metrics(), error),
        })?;
        let timing = Timing::open(&folder.timing(), saves(), resumed.is_some())
            .map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => CliError::Input(format!(
                    "`{}` does not tell how long the run took so far: {error}; remove it, and the time \
                     is counted from here on",
                    folder.timing().display()
                )),
                _ => CliError::read(&folder.timing(), error),
            })?;
        let mut callbacks: Callbacks<'a> = vec![Box::new(metrics)];
        callbacks.extend(self.logs()?.callback());
        callbacks.push(Box::new(self.interrupt.clone()));
        callbacks.push(Box::new(timing));
        callbacks.push(Box::new(self.saves.clock(self.begun)));
        callbacks.push(Box::new(Checkpoint {
            state: folder.state(),
            folder: folder.path().to_path_buf(),
            placeholder_token: config.placeholder_token.clone(),
            adapter: config.method.adapter(),
            saves: saves(),
        }));
        if resumed.and_then(|state| config.trainer.end_of(state)).is_none() {
            let steps = config.trainer.max_train_steps;
            let threshold = if config.trainer.callbacks_can_end() { config.threshold } else { 0.0 };
            callbacks.push(progress(self.dashboard, steps, step, threshold));
        }
        Ok(callbacks)
    }

    fn earlier_best(&self, resumed: &TrainState) -> Result<Option<Best>, CliError> {
        let scored = record::best(&record::read_metrics_until(&self.folder, resumed.step)?);
        let Some((steps, score)) = scored else { return Ok(None) };
        Ok(Some(Best { steps, score, concept: self.folder.read_checkpoint(steps)? }))
    }

    fn concludes(&self, stop: &StopReason) -> bool {
        // the steps are over, and their line is gone
        self.trains.set(false);
        let concludes = !matches!(stop, StopReason::Interrupted { .. });
        if concludes {
            // now: the last samples may take long
            println!("stop       {stop}");
        }
        concludes
    }

    fn keep(&self, best: &Best) -> Result<(), CliError> {
        write_concept(self.folder.path(), &best.concept).map_err(CliError::Part)
    }
}

impl DrawProgress for CommandLine<'_> {
    fn denoised<'a>(
        &'a self,
        done: usize,
        total: usize,
    ) -> LocalBoxFuture<'a, Result<(), PipelineError>> {
        let told = match self.trains.get() {
            // between steps the progress line is there, and an end comes after a step
            true => Ok(()),
            // they are yet to be decoded
            false if done == total => self.samples.begin(),
            false => self.samples.told(done, total),
        };
        Box::pin(async { told.map_err(|error| RunError::observer(error).through_drawing()) })
    }
}

/// What the user sees of the run while it goes on.
#[cfg_attr(not(feature = "tui"), expect(unused_variables))]
fn progress(
    dashboard: bool,
    steps: usize,
    done: usize,
    threshold: f64,
) -> Box<dyn Callback<Concept, TrainState>> {
    #[cfg(feature = "tui")]
    if dashboard {
        return Box::new(super::dashboard::Dashboard::new(steps, done));
    }
    Box::new(Progress::new(steps, done, threshold))
}
