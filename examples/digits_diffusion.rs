//! A diffusion model, trained from scratch with burn's `Learner` until DVAR stops it:
//!
//! ```text
//! cargo run --release --features train --example digits_diffusion
//! ```
//!
//! The loss of each training step jumps with the noise and the time steps that it drew, and tells
//! nobody when to stop. The same loss on one fixed batch depends on the model alone.

use std::{error::Error, path::Path};

use burn::{
    data::{dataloader::DataLoaderBuilder, dataset::InMemDataset},
    optim::AdamConfig,
    tensor::Device,
    train::{Learner, SupervisedTraining, metric::LossMetric},
};
use dvar::{
    burn_train::StepwiseLearningStrategy,
    callbacks::{DeterministicEval, FactorStreams, Factors, MetricsLog, Saves},
    early_stopping::{Control, Dvar},
    plot::{CurvePoint, Watched, curve_svg},
};
use support::{
    denoiser::{AddNoise, Denoiser, Noisy, times},
    digits::{PIXELS, digits},
    quiet::Quiet,
};

mod support {
    pub mod denoiser;
    pub mod digits;
    pub mod quiet;
}

const WINDOW: usize = 400;
const THRESHOLD: f64 = 0.05;
const EPOCHS: usize = 160;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("runs/digits-diffusion");
    std::fs::create_dir_all(folder)?;
    let device = Device::flex();
    device.seed(0);

    let mut train = digits();
    let valid = train.split_off(500);
    let seen = train.clone();
    let loader = |digits| {
        let builder = DataLoaderBuilder::new(AddNoise::default()).batch_size(20).shuffle(0);
        builder.build(InMemDataset::new(digits))
    };

    // the fixed batch: 250 training digits, each with a noise and a time step of its own
    let eval_device = device.clone();
    let draw = move |factors: &mut FactorStreams<'_>| {
        let times = times(250, factors.stream("timesteps"));
        let noise = factors.stream("noise").normal(250 * PIXELS);
        Noisy::new(&seen[..250], &times, noise, &eval_device)
    };
    let eval = DeterministicEval::drawn(Factors::fixed(0), draw, Denoiser::loss)
        .stop_when(Dvar::new(WINDOW, THRESHOLD)?);

    let metrics = folder.join("metrics.jsonl");
    let strategy = StepwiseLearningStrategy::<Denoiser>::new(device.clone())
        .with_loss(|output| output.loss.clone())
        .with_callback(eval)
        .with_callback(MetricsLog::open(&metrics, 0, Saves::every(100))?);
    let outcome = strategy.outcome();

    let model = Denoiser::new(&device.clone().autodiff());
    let result = SupervisedTraining::new(folder, loader(train), loader(valid))
        .num_epochs(EPOCHS)
        .metric_valid_numeric(LossMetric::new())
        .renderer(Box::new(Quiet))
        .with_training_strategy(strategy.into())
        .launch(Learner::new(model, AdamConfig::new().init(), 1e-3));
    if let Some(error) = result.error {
        return Err(error.to_string().into());
    }
    let Some(stop) = outcome.stop() else { return Err("the run ended without a reason".into()) };
    println!("{stop}");

    let points = std::fs::read_to_string(&metrics)?;
    let points =
        points.lines().map(serde_json::from_str).collect::<Result<Vec<CurvePoint>, _>>()?;
    println!("{}", by_training_loss(&points)?);
    let (label, title) = (stop.to_string(), "A diffusion model of 8x8 digits");
    let label = label.split(':').next();
    let curve = folder.join("curve.svg");
    std::fs::write(&curve, curve_svg(&points, &Watched::dvar(THRESHOLD), label, title))?;
    println!("curve: {}", curve.display());
    Ok(())
}

/// What the same criterion makes of the loss that training shows.
fn by_training_loss(points: &[CurvePoint]) -> Result<String, Box<dyn Error>> {
    let mut dvar = Dvar::new(WINDOW, THRESHOLD)?;
    let mut lowest = 1.0_f64;
    for loss in points.iter().filter_map(|point| point.loss) {
        if let Control::Stop(reason) = dvar.update(loss)? {
            return Ok(format!("on the training loss, {reason}"));
        }
        lowest = lowest.min(dvar.ratio());
    }
    Ok(format!("on the training loss it would go on: its ratio never fell below {lowest:.2}"))
}
