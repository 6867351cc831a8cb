//! How window and threshold decide where a run stops: three kinds of model, each trained past its
//! convergence once, and the criterion asked afterwards about the recorded losses.
//!
//! ```text
//! cargo run --release --features train --example choose_window
//! ```
//!
//! Prints the table of `docs/stop-any-training.md`.

use std::error::Error;

use burn::{
    data::dataloader::batcher::Batcher,
    module::Module,
    nn::{
        Linear, LinearConfig,
        loss::{CrossEntropyLoss, MseLoss, Reduction},
    },
    optim::{AdamConfig, GradientsParams},
    tensor::{Device, Tensor, activation::relu},
};
use dvar::{
    early_stopping::{Control, Dvar},
    rng::{Purpose, Stream},
};
use support::{
    denoiser::{AddNoise, Denoiser, Noisy},
    digits::{Digit, PIXELS, digits, labels, pixels},
};

mod support {
    pub mod denoiser;
    pub mod digits;
}

const STEPS: usize = 6000;
const BATCH: usize = 20;
const RATE: f64 = 1e-3;
const WINDOWS: [usize; 4] = [50, 100, 200, 400];
const THRESHOLDS: [f64; 3] = [0.05, 0.15, 0.4];

/// A network of two layers: from pixels to classes, or through few numbers back to pixels.
#[derive(Module, Debug)]
struct Layers {
    hidden: Linear,
    output: Linear,
}

impl Layers {
    fn new(hidden: usize, output: usize, device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self { hidden: linear(PIXELS, hidden), output: linear(hidden, output) }
    }

    fn forward(&self, pixels: Tensor<2>) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(pixels)))
    }

    fn classification_loss(&self, digits: &[Digit], device: &Device) -> Tensor<1> {
        let logits = self.forward(pixels(digits, device));
        CrossEntropyLoss::new(None, device).forward(logits, labels(digits, device))
    }

    fn reconstruction_loss(&self, digits: &[Digit], device: &Device) -> Tensor<1> {
        let pixels = pixels(digits, device);
        MseLoss::new().forward(self.forward(pixels.clone()), pixels, Reduction::Mean)
    }
}

/// The losses of the training batches and of the fixed batch, step by step.
struct Losses {
    train: Vec<f64>,
    fixed: Vec<f64>,
}

#[allow(clippy::disallowed_methods)] // reading a tensor may block here: this is no browser
fn train<M: Module>(
    mut model: M,
    loss: impl Fn(&M, &[Digit], &Device) -> Tensor<1>,
    fixed_loss: impl Fn(&M) -> Tensor<1>,
) -> Losses {
    let device = Device::flex().autodiff();
    let digits = digits();
    let mut optimizer = AdamConfig::new().init();
    let mut losses = Losses { train: Vec::new(), fixed: Vec::new() };
    for step in 0..STEPS {
        let mut stream = Stream::new(0, Purpose::Pairs, step as u64);
        let drawn = |_| digits[stream.below(digits.len())].clone();
        let drawn: Vec<Digit> = (0..BATCH).map(drawn).collect();
        let loss = loss(&model, &drawn, &device);
        losses.train.push(loss.clone().inner().into_scalar::<f32>().into());
        losses.fixed.push(fixed_loss(&model.valid()).into_scalar::<f32>().into());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(RATE, model, gradients);
    }
    losses
}

/// Where the criterion stops, if it does.
fn stop(losses: &[f64], window: usize, threshold: f64) -> Result<Option<usize>, Box<dyn Error>> {
    let mut dvar = Dvar::new(window, threshold)?;
    for (step, loss) in losses.iter().enumerate() {
        if let Control::Stop(_) = dvar.update(*loss)? {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

fn main() -> Result<(), Box<dyn Error>> {
    let plain = Device::flex();
    plain.seed(0);
    let device = plain.clone().autodiff();
    let some = digits()[..200].to_vec();
    let noisy: Noisy = AddNoise::default().batch(some.clone(), &plain);
    let noise = AddNoise::default();
    let runs = [
        (
            "diffusion",
            train(
                Denoiser::new(&device),
                |model, digits, device| model.loss(&noise.batch(digits.to_vec(), device)),
                |model| model.loss(&noisy),
            ),
        ),
        (
            "classifier",
            train(Layers::new(64, 10, &device), Layers::classification_loss, |model| {
                model.classification_loss(&some, &plain)
            }),
        ),
        (
            "autoencoder",
            train(Layers::new(16, PIXELS, &device), Layers::reconstruction_loss, |model| {
                model.reconstruction_loss(&some, &plain)
            }),
        ),
    ];
    println!("| model | window | threshold | stop | improvement | on the training loss |");
    println!("|---|---|---|---|---|---|");
    for (name, Losses { train, fixed }) in &runs {
        let (first, lowest) = (fixed[0], fixed.iter().copied().fold(f64::INFINITY, f64::min));
        for window in WINDOWS {
            for threshold in THRESHOLDS {
                let step = stop(fixed, window, threshold)?;
                let share = |step: usize| (first - fixed[step]) / (first - lowest);
                let [at, share] = match step {
                    Some(step) => [step.to_string(), format!("{:.1} %", 100.0 * share(step))],
                    None => ["none".into(), "".into()],
                };
                let noisy = stop(train, window, threshold)?;
                let noisy = noisy.map_or("none".to_string(), |step| step.to_string());
                println!("| {name} | {window} | {threshold} | {at} | {share} | {noisy} |");
            }
        }
    }
    Ok(())
}
