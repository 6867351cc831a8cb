//! What the stepwise strategy costs a step against burn's own strategy for one device:
//!
//! ```text
//! cargo bench --features train --bench strategy
//! ```
//!
//! The model is small, so that the loop itself weighs as much as it ever does. The strategies take
//! turns, so that a change of the machine's speed meets all of them.

use std::time::Instant;

use burn::{
    data::{dataloader::DataLoaderBuilder, dataset::InMemDataset},
    optim::AdamConfig,
    tensor::Device,
    train::{ExecutionStrategy, Learner, SupervisedTraining, TrainingStrategy},
};
use dvar::{
    burn_train::StepwiseLearningStrategy, callbacks::DeterministicEval, early_stopping::Dvar,
};
use support::{
    denoiser::{AddNoise, Denoiser, Noisy, times},
    digits::{PIXELS, digits},
    quiet::Quiet,
};

#[path = "../examples/support"]
mod support {
    pub mod denoiser;
    pub mod digits;
    pub mod quiet;
}

const ROUNDS: usize = 150;
const EPOCHS: usize = 5;
const BATCH: usize = 50;

/// Microseconds a step.
fn time(strategy: TrainingStrategy<Denoiser>) -> f64 {
    let device = Device::flex();
    device.seed(0);
    let loader = |count| {
        let items = digits().into_iter().take(count).collect();
        DataLoaderBuilder::new(AddNoise::default())
            .batch_size(BATCH)
            .build(InMemDataset::new(items))
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let training = SupervisedTraining::new(folder.path(), loader(600), loader(BATCH))
        .num_epochs(EPOCHS)
        .renderer(Box::new(Quiet))
        .with_application_logger(None)
        .with_training_strategy(strategy);
    let model = Denoiser::new(&device.autodiff());
    let learner = Learner::new(model, AdamConfig::new().init(), 1e-3);
    let start = Instant::now();
    let result = training.launch(learner);
    assert!(result.error.is_none());
    start.elapsed().as_secs_f64() * 1e6 / (EPOCHS * 600 / BATCH) as f64
}

fn with_dvar() -> StepwiseLearningStrategy<Denoiser> {
    let mut stream = dvar::rng::Stream::new(0, dvar::rng::Purpose::Evaluation, 0);
    let times = times(BATCH, &mut stream);
    let noise = stream.normal(BATCH * PIXELS);
    let batch = Noisy::new(&digits()[..BATCH], &times, noise, &Device::flex());
    let never = Dvar::new(50, 0.0).expect("a valid criterion");
    StepwiseLearningStrategy::new(Device::flex())
        .with_callback(DeterministicEval::new(batch, Denoiser::loss).stop_when(never))
}

fn fastest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn main() {
    let mut times = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        for turn in 0..3 {
            let which = (round + turn) % 3;
            times[which].push(time(match which {
                0 => ExecutionStrategy::single(Device::flex()).into(),
                1 => StepwiseLearningStrategy::new(Device::flex()).into(),
                _ => with_dvar().into(),
            }));
        }
    }
    let names = ["burn's, for one device", "stepwise, no callbacks", "stepwise, DVAR each step"];
    // the fastest round is the one that other programs disturbed least
    let [burns, ..] = times.each_ref().map(|own| fastest(own));
    for (name, own) in names.iter().zip(&times) {
        let micros = fastest(own);
        println!("{name:<25} {micros:8.1} us a step  {:+6.2} %", 100.0 * (micros / burns - 1.0));
    }
}
