//! `dvar train`

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use burn::tensor::Device;

use super::{CliError, device, logs::Logs, model, run_folder::RunFolder, samples::Samples};
use crate::{
    callbacks::{Checkpoint, Interrupt, MetricsLog, Progress, plot},
    config::{TrainConfig, TrainOptions},
    data::{dataset::Dataset, png::encode_grid},
    early_stopping::StopReason,
    embedding,
    eval::ClipScorer,
    pipelines::ModelFolder,
    session::{Session, Tokens},
    trainer::{Callback, Concept, TrainError, TrainState},
};

/// Flags of `dvar train`; of a flag that is given twice, the last one holds.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    options: TrainOptions,
    /// File with options; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Go on with an interrupted run; takes its options
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// cpu, wgpu, cuda:0, ... (see `dvar devices`), or auto: CUDA where there is one, else the CPU
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
}

/// A checked run that has not yet cost anything.
struct Plan {
    config: TrainConfig,
    model: ModelFolder,
    tokens: Tokens,
    dataset: Dataset,
    device: Device,
    device_name: String,
    folder: RunFolder,
    state: Option<TrainState>,
    size: usize,
    fingerprint: u64,
}

pub(super) fn run(args: TrainArgs) -> Result<(), CliError> {
    let plan = Plan::new(&args)?;
    plan.announce();
    pollster::block_on(plan.run())
}

impl Plan {
    /// Checks everything that can be checked before slow work, and creates the run's folder last.
    fn new(args: &TrainArgs) -> Result<Self, CliError> {
        let (options, resumed) = options(args)?;
        let model = model::open(options.model.as_deref())?;
        let options = options.over(&model::preset(&model)?).and_then(|o| o.with_defaults());
        let options = options.map_err(CliError::input)?;
        let config = TrainConfig::new(&options).map_err(CliError::input)?;
        let size = config.resolution.unwrap_or(model.native_resolution());
        model.check_size(size, size).map_err(CliError::input)?;
        let scheduler = config.scheduler.unwrap_or(model.scheduler().kind());
        let sampler = model.scheduler().build(scheduler, config.num_inference_steps, 0.0);
        sampler.map_err(CliError::input)?;
        let tokens = Tokens::new(&config, &model).map_err(CliError::input)?;
        let dataset = Dataset::from_folder(&config.train_data_dir, size, config.crop);
        let dataset = dataset.map_err(CliError::input)?;
        let (device, device_name) = device::open(&args.device)?;
        let fingerprint = fingerprint(&options, &dataset)?;
        let (folder, state) = match resumed {
            Some(folder) => {
                let state = read_state(&folder)?;
                (folder, state)
            }
            None => {
                let named = options.output_dir.clone();
                let saved = TrainOptions { output_dir: None, ..absolute(options)? };
                let text = saved.to_toml().map_err(CliError::failed)?;
                let token = &config.placeholder_token;
                let folder = RunFolder::create(named.as_deref(), token, &text)?;
                (folder, None)
            }
        };
        Ok(Self {
            config,
            model,
            tokens,
            dataset,
            device,
            device_name,
            folder,
            state,
            size,
            fingerprint,
        })
    }

    fn announce(&self) {
        let Self { config, dataset, .. } = self;
        println!("model      {}", self.model.name());
        println!(
            "concept    {} from `{}`, {} vector(s), {} pictures of {} px in {}",
            config.placeholder_token,
            config.initializer_token,
            config.num_vectors,
            dataset.pictures().len(),
            self.size,
            config.train_data_dir.display()
        );
        let trainer = &config.trainer;
        println!(
            "training   at most {} steps, batch {} x {}, learning rate {}, on {}",
            trainer.max_train_steps,
            config.train_batch_size,
            trainer.gradient_accumulation_steps,
            trainer.lr_schedule.base_lr,
            self.device_name
        );
        println!("criterion  {}", criterion(config));
        println!("output     {}", self.folder.path().display());
        if let Some(state) = &self.state {
            println!("resuming   at step {}", state.step);
        }
    }

    async fn run(self) -> Result<(), CliError> {
        let Self { config, model, tokens, dataset, device, folder, state, fingerprint, .. } = self;
        let interrupt = interrupt_on_ctrl_c()?;
        let session = Session::new(&config, &model, tokens, &dataset, &device).await;
        let scorer = ClipScorer::load(&model, &device).map_err(CliError::input);
        let loaded = session.map_err(CliError::input).and_then(|session| Ok((session, scorer?)));
        let (session, scorer) = loaded.inspect_err(|_| {
            if state.is_none() {
                folder.discard();
            }
        })?;
        let references = dataset.pictures();
        let samples = Samples {
            config: &config,
            model: &model,
            objective: &session.objective,
            scorer: scorer.as_ref(),
            references,
        };

        let mut trainer = session.trainer(&config).with_fingerprint(fingerprint);
        let before = draw(&samples, &trainer.concept().clone(), &folder.samples("before")).await?;
        let step = state.as_ref().map_or(0, |state| state.step);
        let metrics = MetricsLog::open(&folder.metrics(), step, config.save_steps)
            .map_err(|error| CliError::write(&folder.metrics(), error))?;
        let logs = Logs::open(&config, &folder, step)?;
        logs.picture("samples", 0, &folder.samples("before"))?;
        let mut callbacks: Vec<Box<dyn Callback<Concept> + '_>> =
            vec![session.deterministic_eval(&config), Box::new(metrics)];
        callbacks.extend(logs.callback());
        callbacks.push(Box::new(interrupt));
        callbacks.push(Box::new(Checkpoint {
            state: folder.state(),
            embedding: folder.embedding(),
            placeholder_token: config.placeholder_token.clone(),
            interval: config.save_steps,
        }));
        let finished = state.as_ref().and_then(|state| state.stop).filter(is_final);
        if let Some(state) = &state {
            trainer.restore(state, &mut callbacks).map_err(CliError::input)?;
        }
        let stop = match finished {
            Some(stop) => stop,
            None => {
                let steps = config.trainer.max_train_steps;
                callbacks.push(Box::new(Progress::new(steps, step, config.threshold)));
                let result = trainer.train(&mut callbacks).await;
                drop(callbacks);
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
                "stopped    {stop}; go on with: dvar train --resume {}",
                folder.path().display()
            );
            return Err(CliError::Interrupted);
        }
        let after = draw(&samples, trainer.concept(), &folder.samples("after")).await?;
        logs.picture("samples", trainer.step(), &folder.samples("after"))?;
        let scores = [("clip_i_before", before), ("clip_i_after", after)];
        logs.finish(trainer.step(), &scores)?;
        write_curve(&folder, &config, &stop)?;
        report(&folder, &stop, before, after);
        Ok(())
    }
}

/// The options of the flags, the configuration file or the resumed run, and that run's folder.
fn options(args: &TrainArgs) -> Result<(TrainOptions, Option<RunFolder>), CliError> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path)
            .map_err(|e| CliError::Input(format!("cannot read `{}`: {e}", path.display())))?;
        TrainOptions::from_toml(&text, &path.display().to_string()).map_err(CliError::input)
    };
    if let Some(run) = &args.resume {
        if args.options != TrainOptions::default() || args.config.is_some() {
            return Err(CliError::input(
                "`--resume` takes every option from the run; give no other than `--device` beside it",
            ));
        }
        let folder = RunFolder::open(run)?;
        return Ok((read(&folder.config())?, Some(folder)));
    }
    match &args.config {
        Some(file) => {
            let options = args.options.over(&read(file)?).map_err(CliError::input)?;
            Ok((options, None))
        }
        None => Ok((args.options.clone(), None)),
    }
}

/// Paths that hold from any working folder, so that the run can be resumed from anywhere.
fn absolute(mut options: TrainOptions) -> Result<TrainOptions, CliError> {
    // neither the embedded model nor a name on the Hub is a path
    let model = options.model.as_mut().filter(|model| model.is_dir());
    for path in model.into_iter().chain(options.train_data_dir.as_mut()) {
        *path = std::path::absolute(&*path).map_err(CliError::input)?;
    }
    Ok(options)
}

/// Stands for the options and the pictures: a run that is resumed must have both as it had.
///
/// FNV-1a, because it must stay the same across versions of Rust and needs no strength.
fn fingerprint(options: &TrainOptions, dataset: &Dataset) -> Result<u64, CliError> {
    let options = TrainOptions { output_dir: None, ..absolute(options.clone())? };
    let text = options.to_toml().map_err(CliError::failed)?;
    let pixels = dataset.pictures().iter().flat_map(|picture| picture.pixels());
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    Ok(text.as_bytes().iter().chain(pixels).fold(0xcbf2_9ce4_8422_2325, hash))
}

fn read_state(folder: &RunFolder) -> Result<Option<TrainState>, CliError> {
    match std::fs::read(folder.state()) {
        Ok(bytes) => TrainState::from_bytes(&bytes).map(Some).map_err(CliError::input),
        // killed before its first checkpoint
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(CliError::Input(format!("cannot read `{}`: {error}", folder.state().display())))
        }
    }
}

fn is_final(stop: &StopReason) -> bool {
    !matches!(stop, StopReason::Interrupted { .. })
}

fn criterion(config: &TrainConfig) -> String {
    let evaluations = config.trainer.max_train_steps.div_ceil(config.eval_interval);
    let dvar = format!("DVAR, window {}, threshold {}", config.window, config.threshold);
    if config.threshold == 0.0 {
        format!("{dvar}: never stops, a threshold of 0 only watches")
    } else if config.window >= evaluations {
        format!(
            "{dvar}: never stops, the window is as long as the {evaluations} evaluations or longer"
        )
    } else {
        dvar
    }
}

async fn draw(
    samples: &Samples<'_>,
    concept: &Concept,
    path: &Path,
) -> Result<Option<f64>, CliError> {
    let (pictures, score) = samples.draw(&concept.vectors()).await?;
    let grid = encode_grid(&pictures, 4).map_err(CliError::failed)?;
    RunFolder::write(path, &grid)?;
    Ok(score)
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

/// Saves the last vectors that gave finite losses.
async fn keep_last_good(folder: &RunFolder, concept: &Concept, error: TrainError) -> CliError {
    let kept = concept.read().await.map_err(CliError::failed);
    match kept.and_then(|kept| RunFolder::write(&folder.embedding(), &embedding::write(&kept))) {
        Ok(()) => CliError::Failed(format!(
            "{error}; the last good vectors are in `{}`",
            folder.embedding().display()
        )),
        Err(_) => CliError::failed(error),
    }
}

fn write_curve(
    folder: &RunFolder,
    config: &TrainConfig,
    stop: &StopReason,
) -> Result<(), CliError> {
    let text = std::fs::read_to_string(folder.metrics()).map_err(CliError::failed)?;
    let points: Result<Vec<plot::CurvePoint>, _> = text.lines().map(serde_json::from_str).collect();
    let points = points.map_err(CliError::failed)?;
    let label = matches!(stop, StopReason::Dvar { .. } | StopReason::ConstantObjective { .. })
        .then(|| format!("stopped after {} steps", points.len()));
    let title = format!("{} - {}", config.placeholder_token, criterion(config));
    let svg = plot::curve_svg(&points, config.threshold, label.as_deref(), &title);
    RunFolder::write(&folder.curve(), svg.as_bytes())
}

fn report(folder: &RunFolder, stop: &StopReason, before: Option<f64>, after: Option<f64>) {
    println!("stopped    {stop}");
    if let StopReason::ConstantObjective { .. } = stop {
        println!(
            "warning    the deterministic loss never changed: check the pictures and the learning rate"
        );
    }
    if let (Some(before), Some(after)) = (before, after) {
        println!("CLIP-I     {before:.3} before, {after:.3} after");
    }
    println!("embedding  {}", folder.embedding().display());
    println!(
        "samples    {} and {}",
        folder.samples("before").display(),
        folder.samples("after").display()
    );
    println!("curve      {}", folder.curve().display());
}
