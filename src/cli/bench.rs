//! `dvar bench`

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use burn::tensor::Device;
use serde_json::json;

use super::{CliError, device, model};
use crate::{
    config::{MixedPrecision, TrainConfig, TrainOptions},
    data::{dataset::Dataset, png::encode_png},
    objective::DrawSource,
    optim::Optimizer,
    pipelines::ModelFolder,
    session::{Session, Start, Tokens},
};

/// Flags of `dvar bench`.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// Folder of the model in diffusers' layout, or `embedded` [default: embedded]
    #[arg(long, short, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Inputs of one training step, and of one evaluation
    #[arg(long, value_name = "N", default_value_t = 4)]
    train_batch_size: usize,
    /// What the text encoder and the denoiser compute in: no (f32), fp16 or bf16
    #[arg(long, value_name = "TYPE", default_value = "no")]
    mixed_precision: MixedPrecision,
    /// Steps that are timed, after three that are not
    #[arg(long, value_name = "N", default_value_t = 20)]
    steps: usize,
    /// cpu, wgpu, cuda:0, ... (see `dvar devices`), or auto: the best GPU there is, else the CPU
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const WARM_UP: usize = 3;
const PHASES: [&str; 5] = ["text_encoder", "unet_forward", "backward", "optimizer", "evaluation"];

pub(super) fn run(args: &BenchArgs) -> Result<(), CliError> {
    let options = TrainOptions {
        train_data_dir: Some(PathBuf::new()),
        placeholder_token: Some("<dvar-bench>".into()),
        initializer_token: Some("a".into()),
        train_batch_size: Some(args.train_batch_size),
        eval_batch_size: Some(args.train_batch_size),
        mixed_precision: Some(args.mixed_precision),
        ..TrainOptions::default()
    };
    if !(1..=100_000).contains(&args.steps) {
        return Err(CliError::Input(format!(
            "`--steps` is {}; it must be from 1 to 100000",
            args.steps
        )));
    }
    let config = TrainConfig::new(&options.with_defaults().map_err(CliError::input)?);
    let config = config.map_err(CliError::input)?;
    let model = model::open(args.model.as_deref())?.with_precision(config.mixed_precision.dtype());
    let (device, name) = device::open(&args.device)?;
    device::check_precision(&model, &device, &name)?;
    let session = pollster::block_on(session(&config, &model, &device))?;
    let phases = time_phases(&session, &config, args.steps)?;
    report(args, &model, &name, &phases);
    Ok(())
}

/// A run on made-up pictures: only their size matters for the time.
async fn session(
    config: &TrainConfig,
    model: &ModelFolder,
    device: &Device,
) -> Result<Session, CliError> {
    let size = model.native_resolution();
    let pictures = (0..4_u8)
        .map(|i| {
            let pixels: Vec<u8> =
                (0..size * size * 3).map(|p| (p as u8).wrapping_mul(i + 1)).collect();
            Ok((format!("{i}.png"), encode_png(size, size, &pixels).map_err(CliError::failed)?))
        })
        .collect::<Result<Vec<_>, CliError>>()?;
    let dataset = Dataset::from_bytes(pictures, size, config.crop).map_err(CliError::failed)?;
    let tokens = Tokens::new(config, model, Start::Tokens(vec![0])).map_err(CliError::input)?;
    Session::new(config, model, tokens, &dataset, None, device).await.map_err(CliError::input)
}

/// The times of each phase, one list for each of [`PHASES`].
fn time_phases(
    session: &Session,
    config: &TrainConfig,
    steps: usize,
) -> Result<[Vec<Duration>; 5], CliError> {
    let (objective, device) = (&session.objective, session.objective.device());
    let mut concept = session.concept(config);
    let mut optimizer = Optimizer::new(config.trainer.optimizer, &concept.values());
    let mut phases: [Vec<Duration>; 5] = Default::default();
    for step in 0..WARM_UP + steps {
        let batch = objective.batch(&session.draws.draw(step));
        let mut clock = Instant::now();
        let mut lap = |phase: usize| -> Result<(), CliError> {
            device.sync().map_err(CliError::failed)?;
            if step >= WARM_UP {
                phases[phase].push(clock.elapsed());
            }
            clock = Instant::now();
            Ok(())
        };
        let weights = concept.tracked();
        let hidden_states = objective.encode(&weights, &batch);
        lap(0)?;
        let loss = objective.loss_under(hidden_states, &weights, &batch);
        lap(1)?;
        let gradients = loss.backward();
        let gradients = concept.parameters().iter().map(|parameter| {
            let gradient = parameter.tracked().grad(&gradients);
            gradient.unwrap_or_else(|| parameter.value().zeros_like())
        });
        let gradients = gradients.collect();
        lap(2)?;
        let learning_rate = config.trainer.lr_schedule.at(step);
        concept.set(optimizer.update(concept.values(), gradients, learning_rate));
        lap(3)?;
        session.evaluation_losses(&concept, step);
        lap(4)?;
    }
    Ok(phases)
}

fn report(args: &BenchArgs, model: &ModelFolder, device: &str, phases: &[Vec<Duration>; 5]) {
    let milliseconds = phases.each_ref().map(|times| median(times));
    let step: f64 = milliseconds.iter().sum();
    let memory = peak_memory_mb();
    if args.json {
        let phases: serde_json::Map<_, _> = PHASES
            .iter()
            .zip(milliseconds)
            .map(|(name, ms)| (name.to_string(), json!(ms)))
            .collect();
        let report = json!({
            "model": model.name(), "device": device, "mixed_precision": args.mixed_precision,
            "batch": args.train_batch_size,
            "steps": args.steps, "phases_ms": phases, "step_ms": step,
            "steps_per_second": 1000.0 / step, "peak_memory_mb": memory,
        });
        println!("{report}");
        return;
    }
    println!(
        "{} on {device}, mixed precision {}, batch {} with evaluation of as many",
        model.name(),
        args.mixed_precision,
        args.train_batch_size
    );
    for (name, ms) in PHASES.iter().zip(milliseconds) {
        println!("{name:14} {ms:9.2} ms");
    }
    println!("{:14} {step:9.2} ms, {:.2} steps/s", "step", 1000.0 / step);
    if let Some(memory) = memory {
        println!("{:14} {memory:9.0} MB", "peak memory");
    }
}

fn median(times: &[Duration]) -> f64 {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The process' largest resident size, where the system tells it.
fn peak_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
