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

const ROUNDS: usize = 15;
const EPOCHS: usize = 40;
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        times[0].push(time(ExecutionStrategy::single(Device::flex()).into()));
        times[1].push(time(StepwiseLearningStrategy::new(Device::flex()).into()));
        times[2].push(time(with_dvar().into()));
    }
    let [burns, ours, with_dvar] = times.map(median);
    let more = |time: f64| 100.0 * (time / burns - 1.0);
    println!("burn's strategy for one device   {burns:9.1} us a step");
    println!("stepwise, without callbacks      {ours:9.1} us a step  {:+.2} %", more(ours));
    println!(
        "stepwise, DVAR at every step     {with_dvar:9.1} us a step  {:+.2} %",
        more(with_dvar)
    );
}
