//! `dvar bench`

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use burn::tensor::{DType, Device, Distribution, Tensor};

use super::{CliError, device, model};
use crate::{
    config::{MixedPrecision, TrainConfig, TrainOptions},
    data::{dataset::Dataset, png::encode_png},
    objective::DrawSource,
    pipelines::ModelFolder,
    session::{InitialVectors, Session, Tokens},
    tensor::DeviceError,
};

mod random_weights;
mod report;
mod work;

use report::{PHASES, Report};
use work::Meter;

/// Flags of `dvar bench`.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// Folder of the model in diffusers' layout, a single file, a name on the Hub, `sd`, `ldm` or `embedded`
    /// [default: embedded]
    #[arg(long, short, value_name = "DIR")]
    model: Option<PathBuf>,
    /// A model of these sizes with random weights, without its files
    #[arg(long, value_name = "SIZES", conflicts_with = "model")]
    random_weights: Option<random_weights::Sizes>,
    /// Height and width of the pictures [default: the model's]
    #[arg(long, value_name = "PIXELS")]
    resolution: Option<usize>,
    /// Inputs of one training step
    #[arg(long, value_name = "N", default_value_t = 4)]
    train_batch_size: usize,
    /// Inputs of one evaluation [default: those of a training step]
    #[arg(long, value_name = "N")]
    eval_batch_size: Option<usize>,
    /// What the text encoder and the denoiser compute in: no (f32), fp16 or bf16
    #[arg(long, value_name = "TYPE", default_value = "no")]
    mixed_precision: MixedPrecision,
    /// Compute the denoiser's activations again in the backward pass: less memory, more time
    #[arg(long)]
    gradient_checkpointing: bool,
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

pub(super) fn run(args: &BenchArgs) -> Result<(), CliError> {
    if !(1..=100_000).contains(&args.steps) {
        return Err(CliError::Input(format!(
            "`--steps` is {}; it must be from 1 to 100000",
            args.steps
        )));
    }
    let eval_batch = args.eval_batch_size.unwrap_or(args.train_batch_size);
    let mut options = TrainOptions::default();
    options.data.train_data_dir = Some(PathBuf::new());
    options.data.placeholder_token = Some("<dvar-bench>".into());
    options.data.resolution = args.resolution;
    options.start.initializer_token = Some("a".into());
    options.training.train_batch_size = Some(args.train_batch_size);
    options.training.mixed_precision = Some(args.mixed_precision);
    options.training.gradient_checkpointing = Some(args.gradient_checkpointing);
    options.evaluation.eval_batch_size = Some(eval_batch);
    let config = TrainConfig::new(&options)?;
    let model = match args.random_weights {
        Some(sizes) => random_weights::model(sizes)?,
        None => model::open(args.model.as_deref(), false)?,
    };
    let model = model.with_precision(config.mixed_precision.dtype());
    let size = config.resolution.unwrap_or(model.native_resolution());
    model.check_size(size, size)?;
    let (device, name) = device::open(&args.device)?;
    device::check_precision(&model, &device, &name)?;
    let work = || measure(args, &config, &model, (&device, &name), size);
    let report = device::run(&device, work)?;
    report.print(args.json);
    Ok(())
}

fn measure(
    args: &BenchArgs,
    config: &TrainConfig,
    model: &ModelFolder,
    (device, name): (&Device, &str),
    size: usize,
) -> Result<Report, CliError> {
    let clock = Instant::now();
    let session = pollster::block_on(session(config, model, size, device))?;
    device.sync().map_err(DeviceError::new)?;
    let load = clock.elapsed();
    let (phases, forward_alone, meter) = pollster::block_on(time(&session, config, args.steps))?;
    let [_, height, width] = session.objective.latents.latent_shape(0);
    let operations = model.unet_config().operations([height, width], model.text_length());
    let (batch, eval) = (args.train_batch_size as f64, config.eval_batch_size as f64);
    let memory = device.memory_pool_usage();
    let dtype = config.mixed_precision.dtype();
    Ok(Report {
        model: model.name().to_string(),
        precision: dtype.name().into(),
        resolution: size,
        batch: args.train_batch_size,
        eval_batch: config.eval_batch_size,
        load,
        phases,
        work: meter.work(args.steps),
        forward_alone,
        operations: batch * (operations.forward + operations.backward) + eval * operations.forward,
        device_memory_mb: memory.map(|memory| memory.bytes_reserved as f64 / (1 << 20) as f64),
        ceiling: ceiling(device, name, dtype)?,
        device: name.to_string(),
    })
}

/// A run on made-up pictures: only their size matters for the time.
async fn session(
    config: &TrainConfig,
    model: &ModelFolder,
    size: usize,
    device: &Device,
) -> Result<Session, CliError> {
    let pictures = (0..4_u8)
        .map(|i| {
            let pixels: Vec<u8> =
                (0..size * size * 3).map(|p| (p as u8).wrapping_mul(i + 1)).collect();
            Ok((format!("{i}.png"), encode_png(size, size, &pixels)?))
        })
        .collect::<Result<Vec<_>, CliError>>()?;
    let dataset = Dataset::from_bytes(pictures, size, config.reading)?;
    let tokens = Tokens::new(config, model, InitialVectors::first_token(model))?;
    Ok(Session::new(config, model, tokens, &dataset, None, device).await?)
}

/// The times of each phase, one list for each of [`PHASES`], those of a forward pass on as many inputs
/// as the evaluation has, and what the processor did in the phases.
async fn time(
    session: &Session,
    config: &TrainConfig,
    steps: usize,
) -> Result<([Vec<Duration>; PHASES.len()], Vec<Duration>, Meter), CliError> {
    let (objective, device) = (&session.objective, session.objective.device());
    let mut concept = session.concept(config);
    let mut optimizer = config.trainer.optimizer.init(&concept.values());
    let mut criterion = config.criterion.clone();
    let eval_draws = session.draws.with_batch_size(config.eval_batch_size);
    let mut laps: [Vec<Duration>; PHASES.len() + 1] = Default::default();
    let mut meter = Meter::default();
    for step in 0..WARM_UP + steps {
        let batch = objective.batch(&session.draws.draw(step));
        let eval_batch = objective.batch(&eval_draws.draw(step));
        device.sync().map_err(DeviceError::new)?;
        if step >= WARM_UP {
            meter.begin();
        }
        let mut clock = Instant::now();
        let mut lap = |phase: usize| -> Result<(), CliError> {
            device.sync().map_err(DeviceError::new)?;
            if step >= WARM_UP {
                laps[phase].push(clock.elapsed());
            }
            clock = Instant::now();
            Ok(())
        };
        let weights = concept.tracked();
        let hidden_states = objective.encode(&weights, &batch);
        lap(0)?;
        let loss = objective.loss_under(hidden_states, &weights, &batch);
        lap(1)?;
        let gradients = concept.gradient(&loss, None);
        lap(2)?;
        let learning_rate = config.trainer.lr_schedule.at(step);
        concept.set(optimizer.update(concept.values(), gradients, learning_rate));
        lap(3)?;
        // all that a run does for it
        for loss in session.evaluation_losses(&concept, step) {
            let loss = loss.into_data_async().await.map_err(DeviceError::new)?;
            let loss = loss.iter::<f64>().next().unwrap_or(f64::NAN);
            let _ = criterion.update(loss)?;
        }
        lap(4)?;
        if step >= WARM_UP {
            meter.end();
        }
        let weights = concept.plain();
        objective.loss_under(objective.encode(&weights, &eval_batch), &weights, &eval_batch);
        lap(5)?;
    }
    let [phases @ .., forward_alone] = laps;
    Ok((phases, forward_alone, meter))
}

/// Operations a second of a large product of matrices.
fn ceiling(device: &Device, name: &str, dtype: DType) -> Result<f64, CliError> {
    // large enough to fill the device, small enough for the buffers of any GPU but NVIDIA's
    let size: usize = match name {
        _ if name.starts_with("cuda") => 8192,
        _ if device::is_hardware(device) => 4096,
        _ => 1024,
    };
    let random = || {
        let values = Tensor::<2>::random([size, size], Distribution::Uniform(-1.0, 1.0), device);
        values.cast(dtype)
    };
    let (left, right) = (random(), random());
    let mut fastest = f64::INFINITY;
    for _ in 0..5 {
        device.sync().map_err(DeviceError::new)?;
        let clock = Instant::now();
        let product = left.clone().matmul(right.clone());
        device.sync().map_err(DeviceError::new)?;
        fastest = fastest.min(clock.elapsed().as_secs_f64());
        drop(product);
    }
    Ok(2.0 * (size as f64).powi(3) / fastest)
}
