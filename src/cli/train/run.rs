//! A run, from the networks to the last picture.

use std::{cell::RefCell, sync::atomic::Ordering};

use super::{
    class_pictures,
    plan::Plan,
    progress::Progress,
    report::{self, RunResult, keep_last_good},
    search,
};
use crate::{
    callbacks::{Checkpoint, Interrupt, MetricsLog, ScoreMonitor, Scores, Timing, write_concept},
    cli::{CliError, logs::Logs, model, run_folder::RunFolder, sample_files::write_each},
    concept::Concept,
    config::{Initializer, Stopping, TrainConfig},
    data::png::encode_grid,
    early_stopping::StopReason,
    embedding,
    eval::ClipScorer,
    pipelines::ModelFolder,
    session::{self, Drawn, Samples, Session, Start, Tokens},
    trainer::{Callback, TrainError},
};

impl Plan {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let interrupt = interrupt_on_ctrl_c()?;
        let prepared = self.prepare().await.inspect_err(|_| {
            if self.state.is_none() {
                self.folder.discard();
            }
        })?;
        let Prepared { session, scorer, token, fingerprint } = prepared;
        let Self { config, model, dataset, folder, state, dashboard, .. } = self;
        let samples = Samples {
            config: &config,
            model: &model,
            objective: &session.objective,
            scorer: scorer.as_ref().map(|clip| (clip, clip.image_features(dataset.pictures()))),
            watch: None,
        };
        let mut trainer = session.trainer(&config).with_fingerprint(fingerprint);
        if config.save_init_embeds && state.is_none() {
            let path = folder.initial_embedding();
            RunFolder::write(&path, &embedding::write(&session.initial))?;
        }
        if config.each_input {
            report::write_evaluation_inputs(&folder, &session.evaluation_draws.draw(0))?;
        }
        let before = samples.draw(&trainer.concept().plain()).await.map_err(CliError::failed)?;
        write_grid(&folder, "before", &before)?;

        let step = state.as_ref().map_or(0, |state| state.step);
        let logs = Logs::open(&config, &folder, step)?;
        logs.picture("samples", 0, &folder.samples("before"))?;
        let monitor =
            Monitor { samples: &samples, folder: &folder, logs: &logs, failed: RefCell::default() };
        let mut callbacks =
            callbacks(&config, &session, &monitor, state.as_ref().map(|s| s.step), interrupt)?;
        let finished = state.as_ref().and_then(|state| state.stop).filter(is_final);
        if let Some(state) = &state {
            trainer.restore(state, &mut callbacks).map_err(CliError::input)?;
        }
        let stop = match finished {
            Some(stop) => stop,
            None => {
                let steps = config.trainer.max_train_steps;
                callbacks.push(progress(dashboard, steps, step, config.threshold));
                let result = trainer.train(&mut callbacks).await;
                drop(callbacks);
                if let Some(error) = monitor.failed.take() {
                    return Err(error);
                }
                match result {
                    Ok(stop) => stop,
                    Err(error) => {
                        return Err(keep_last_good(&folder, trainer.concept(), error).await);
                    }
                }
            }
        };
        if let StopReason::Interrupted { .. } = stop {
            println!(
                "stop       {stop}; go on with: dvar train --resume {}",
                folder.path().display()
            );
            return Err(CliError::Interrupted);
        }
        conclude(&config, &monitor, trainer.concept(), stop, before.score, token).await
    }

    /// Loads the networks, after the vocabulary was searched and the class drawn where they must be.
    async fn prepare(&self) -> Result<Prepared, CliError> {
        let Self { config, model, dataset, device, folder, .. } = self;
        let scorer = model::clip_scorer(config.clip.as_deref(), Some(model), device)?;
        let (start, token) = match &self.start {
            Some(start) => (start.clone(), random_word(config, model, start)?),
            None => {
                // `Plan::new` refuses a search without a scorer
                let scorer = scorer.as_ref().ok_or(CliError::Input("no scorer".into()))?;
                let (start, word) = search::search(config, model, dataset, scorer).await?;
                (start, Some(word))
            }
        };
        let class =
            class_pictures::load(config, model, device, folder.class_pictures(), self.size).await?;
        let tokens = Tokens::new(config, model, start).map_err(CliError::input)?;
        let session = Session::new(config, model, tokens, dataset, class.as_ref(), device).await;
        let session = session.map_err(CliError::from)?;
        let pictures = std::iter::once(dataset).chain(&class);
        let fingerprint = session::fingerprint(&self.saved, pictures);
        Ok(Prepared { session, scorer, token, fingerprint })
    }
}

/// Which word a random start is, to be told.
fn random_word(
    config: &TrainConfig,
    model: &ModelFolder,
    start: &Start,
) -> Result<Option<String>, CliError> {
    let (Initializer::Random, Start::Tokens(ids)) = (&config.initializer, start) else {
        return Ok(None);
    };
    let words = model.tokenizer().map_err(CliError::input)?.words();
    Ok(words.into_iter().find(|(id, _)| ids == &[*id]).map(|(_, word)| word))
}

/// What takes part in the run, in the order of its turns. `resumed` is the step that an earlier part
/// of the run had reached.
fn callbacks<'a>(
    config: &TrainConfig,
    session: &'a Session,
    monitor: &'a Monitor<'a>,
    resumed: Option<usize>,
    interrupt: Interrupt,
) -> Result<Vec<Box<dyn Callback<Concept> + 'a>>, CliError> {
    let (folder, save_steps) = (monitor.folder, config.save_steps);
    let mut callbacks: Vec<Box<dyn Callback<Concept> + 'a>> = Vec::new();
    if config.stopping == Stopping::Dvar {
        callbacks.push(session.deterministic_eval(config));
    }
    if let Some(interval) = config.sample_frequency {
        let score = async |concept: &Concept, updates| monitor.score(concept, updates).await;
        let scores = ScoreMonitor::new(score).every(interval);
        callbacks.push(Box::new(match config.stopping {
            Stopping::ClipS => scores.stop_when(config.patience.clone()),
            _ => scores,
        }));
    }
    let metrics = MetricsLog::open(&folder.metrics(), resumed.unwrap_or(0), save_steps)
        .map_err(|error| CliError::write(&folder.metrics(), error))?;
    let timing = Timing::open(&folder.timing(), save_steps, resumed.is_some())
        .map_err(|error| CliError::write(&folder.timing(), error))?;
    callbacks.push(Box::new(metrics));
    callbacks.extend(monitor.logs.callback());
    callbacks.push(Box::new(interrupt));
    callbacks.push(Box::new(timing));
    callbacks.push(Box::new(Checkpoint {
        state: folder.state(),
        folder: folder.path().to_path_buf(),
        placeholder_token: config.placeholder_token.clone(),
        adapter: config.method.adapter(),
        interval: save_steps,
    }));
    Ok(callbacks)
}

/// Draws with the concept that is kept, and writes what the run leaves beside its checkpoint.
async fn conclude(
    config: &TrainConfig,
    monitor: &Monitor<'_>,
    last: &Concept,
    stop: StopReason,
    before: Option<f64>,
    token: Option<String>,
) -> Result<(), CliError> {
    let Monitor { samples, folder, logs, .. } = monitor;
    let points = report::read_metrics(folder)?;
    let steps = points.len();
    let best = match config.stopping {
        Stopping::Baseline => keep_best(folder, &points)?,
        _ => None,
    };
    let objective = samples.objective;
    let kept = match best {
        Some(_) => folder.read_concept(&objective.unet, &objective.device())?,
        None => last.plain(),
    };
    let after = samples.draw(&kept).await.map_err(CliError::failed)?;
    write_grid(folder, "after", &after)?;
    logs.picture("samples", steps, &folder.samples("after"))?;
    logs.finish(steps, &[("clip_i_before", before), ("clip_i_after", after.score)])?;
    write_each(&folder.sample_folder(), &after.pictures, samples.prompts())?;
    if config.log_unscaled {
        let unscaled = samples.draw_unscaled(&kept).await.map_err(CliError::failed)?;
        write_grid(folder, "unscaled", &unscaled)?;
    }
    report::write_curve(folder, config, &points, &stop)?;
    let result = RunResult {
        steps,
        kept_steps: best.unwrap_or(steps),
        stop,
        clip_i_before: before,
        clip_i: after.score,
        initializer_token: token,
    };
    report::report(folder, &result)
}

struct Prepared {
    session: Session,
    scorer: Option<ClipScorer>,
    /// The word that a search or chance found.
    token: Option<String>,
    fingerprint: u64,
}

/// What the user sees of the run while it goes on.
#[cfg_attr(not(feature = "tui"), expect(unused_variables))]
fn progress(
    dashboard: bool,
    steps: usize,
    done: usize,
    threshold: f64,
) -> Box<dyn Callback<Concept>> {
    #[cfg(feature = "tui")]
    if dashboard {
        return Box::new(super::dashboard::Dashboard::new(steps, done));
    }
    Box::new(Progress::new(steps, done, threshold))
}

/// Draws, scores and keeps the concept on the way.
struct Monitor<'a> {
    samples: &'a Samples<'a>,
    folder: &'a RunFolder,
    logs: &'a Logs,
    /// What went wrong, in the CLI's words.
    failed: RefCell<Option<CliError>>,
}

impl Monitor<'_> {
    async fn score(&self, concept: &Concept, updates: usize) -> Result<Scores, TrainError> {
        let scored = self.try_score(concept, updates).await;
        scored.map_err(|error| {
            let source = error.to_string().into();
            self.failed.replace(Some(error));
            TrainError::Callback { callback: "score-monitor".into(), source }
        })
    }

    async fn try_score(&self, concept: &Concept, updates: usize) -> Result<Scores, CliError> {
        let drawn = self.samples.draw(&concept.plain()).await.map_err(CliError::failed)?;
        let folder = self.folder.checkpoint(updates);
        std::fs::create_dir_all(&folder).map_err(|error| CliError::write(&folder, error))?;
        let grid = encode_grid(&drawn.pictures, 4).map_err(CliError::failed)?;
        let picture = folder.join("samples.png");
        RunFolder::write(&picture, &grid)?;
        self.logs.picture("samples", updates - 1, &picture)?;
        let learned = concept.read().await.map_err(CliError::failed)?;
        write_concept(&folder, &learned).map_err(CliError::failed)?;
        let scores = [("clip_i", drawn.score), ("clip_t", drawn.clip_t)];
        Ok(scores.into_iter().filter_map(|(name, score)| Some((name, score?))).collect())
    }
}

/// Puts the files of the checkpoint with the best score in the run's own place, and says how many
/// updates it had.
fn keep_best(
    folder: &RunFolder,
    points: &[crate::plot::CurvePoint],
) -> Result<Option<usize>, CliError> {
    let scored = points.iter().filter_map(|point| Some((point.step + 1, point.clip_i?)));
    // of equal scores, the earliest
    let best = scored.fold(None, |best: Option<(usize, f64)>, (steps, score)| match best {
        Some((_, most)) if score <= most => best,
        _ => Some((steps, score)),
    });
    let Some((steps, _)) = best else { return Ok(None) };
    let from = folder.checkpoint(steps);
    for file in folder.concept_files() {
        let source = from.join(file);
        if source.is_file() {
            let bytes = std::fs::read(&source).map_err(CliError::failed)?;
            RunFolder::write(&folder.path().join(file), &bytes)?;
        }
    }
    Ok(Some(steps))
}

fn write_grid(folder: &RunFolder, when: &str, drawn: &Drawn) -> Result<(), CliError> {
    let grid = encode_grid(&drawn.pictures, 4).map_err(CliError::failed)?;
    RunFolder::write(&folder.samples(when), &grid)
}

fn is_final(stop: &StopReason) -> bool {
    !matches!(stop, StopReason::Interrupted { .. })
}

fn interrupt_on_ctrl_c() -> Result<Interrupt, CliError> {
    let interrupt = Interrupt::default();
    let flag = interrupt.0.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130); // asked twice: at once; files are whole at every instant
        }
        eprintln!("\nstopping; press Ctrl-C again to stop at once");
    })
    .map_err(CliError::failed)?;
    Ok(interrupt)
}
