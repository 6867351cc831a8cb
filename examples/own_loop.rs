//! A training loop of one's own, here of a classifier, that DVAR stops:
//!
//! ```text
//! cargo run --release --features train --example own_loop
//! ```
//!
//! The criterion is plain numbers in and a decision out; any loop and any framework can ask it.

#![allow(clippy::disallowed_methods)] // reading a tensor may block here: this is no browser

use std::error::Error;

use burn::{
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLoss},
    optim::{GradientsParams, SgdConfig},
    tensor::{Device, Int, Tensor, activation::relu},
};
use dvar::{
    early_stopping::{Control, Dvar},
    rng::{Purpose, Stream},
};
use support::digits::{Digit, PIXELS, digits, labels, pixels};

mod support {
    pub mod digits;
}

#[derive(Module, Debug)]
struct Classifier {
    hidden: Linear,
    output: Linear,
}

struct Batch {
    pixels: Tensor<2>,
    labels: Tensor<1, Int>,
}

impl Batch {
    fn new(digits: &[Digit], device: &Device) -> Self {
        Self { pixels: pixels(digits, device), labels: labels(digits, device) }
    }
}

impl Classifier {
    fn forward(&self, batch: &Batch) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(batch.pixels.clone())))
    }

    fn loss(&self, batch: &Batch) -> Tensor<1> {
        let labels = batch.labels.clone();
        CrossEntropyLoss::new(None, &labels.device()).forward(self.forward(batch), labels)
    }

    fn accuracy(&self, batch: &Batch) -> f32 {
        let right = self.forward(batch).argmax(1).squeeze_dim::<1>(1).equal(batch.labels.clone());
        right.float().mean().into_scalar()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    device.seed(0);
    let mut train = digits();
    let unseen = Batch::new(&train.split_off(500), &device);
    let fixed = Batch::new(&train[..200], &device);

    let training = device.clone().autodiff();
    let hidden = LinearConfig::new(PIXELS, 64).init(&training);
    let output = LinearConfig::new(64, 10).init(&training);
    let mut model = Classifier { hidden, output };
    let mut optimizer = SgdConfig::new().init();
    let mut dvar = Dvar::new(100, 0.05)?;

    for step in 0..5000 {
        let mut stream = Stream::new(0, Purpose::Pairs, step);
        let drawn: Vec<Digit> = (0..20).map(|_| train[stream.below(train.len())].clone()).collect();
        let gradients = model.loss(&Batch::new(&drawn, &training)).backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        model = optimizer.step(0.05, model, gradients);

        let current = model.valid();
        let loss: f32 = current.loss(&fixed).into_scalar();
        if step % 200 == 0 {
            println!("step {step}  loss {loss:.4}  ratio {:.3}", dvar.ratio());
        }
        if let Control::Stop(reason) = dvar.update(loss.into())? {
            println!("{reason}");
            println!("accuracy on unseen digits: {:.1} %", 100.0 * current.accuracy(&unseen));
            break;
        }
    }
    Ok(())
}
