//! A small diffusion model of the digits: it predicts the noise that was added to them.

use std::{
    f32::consts::{FRAC_PI_2, PI},
    sync::atomic::{AtomicU64, Ordering},
};

use burn::{
    data::dataloader::batcher::Batcher,
    module::Module,
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    tensor::{Device, Tensor, TensorData, activation::silu},
    train::{InferenceStep, RegressionOutput, TrainOutput, TrainStep},
};
use dvar::rng::{Purpose, Stream};

use super::digits::{Digit, PIXELS, pixels};

const WIDTH: usize = 128;
const TIME_FEATURES: usize = 16;
/// Times between no noise and nothing but noise.
const TIMES: usize = 1000;

#[derive(Module, Debug)]
pub struct Denoiser {
    pixels_in: Linear,
    time_in: Linear,
    hidden: Linear,
    noise_out: Linear,
}

/// Noisy digits, and what is to be found in them.
#[derive(Clone, Debug)]
pub struct Noisy {
    /// `[batch_size, 64]`
    latents: Tensor<2>,
    /// `[batch_size, 16]`
    time: Tensor<2>,
    /// `[batch_size, 64]`
    noise: Tensor<2>,
}

impl Noisy {
    /// Adds noise to each digit, `[batch_size * 64]` standard normal numbers, as much as is there
    /// at its time, `[batch_size]` from 0 to 999.
    pub fn new(digits: &[Digit], times: &[usize], noise: Vec<f32>, device: &Device) -> Self {
        let matrix = |values: Vec<f32>| {
            let width = values.len() / digits.len();
            Tensor::<2>::from_data(TensorData::new(values, [digits.len(), width]), device)
        };
        let times: Vec<f32> = times.iter().map(|t| (*t as f32 + 0.5) / TIMES as f32).collect();
        let angle = |time: &f32| time * FRAC_PI_2;
        let signal = matrix(times.iter().map(|time| angle(time).cos()).collect());
        let share = matrix(times.iter().map(|time| angle(time).sin()).collect());
        let waves = |time: &f32| -> Vec<f32> {
            let wave = |i: usize| time * PI * (1 << (i / 2)) as f32;
            let feature =
                |i: usize| if i.is_multiple_of(2) { wave(i).sin() } else { wave(i).cos() };
            (0..TIME_FEATURES).map(feature).collect()
        };
        let noise = matrix(noise);
        let latents = pixels(digits, device) * signal + noise.clone() * share;
        Self { latents, time: matrix(times.iter().flat_map(waves).collect()), noise }
    }
}

/// A time for each of `count` digits.
pub fn times(count: usize, stream: &mut Stream) -> Vec<usize> {
    (0..count).map(|_| stream.below(TIMES)).collect()
}

/// Draws new noise and time steps for every batch.
#[derive(Default)]
pub struct AddNoise(AtomicU64);

impl Batcher<Digit, Noisy> for AddNoise {
    fn batch(&self, digits: Vec<Digit>, device: &Device) -> Noisy {
        let batch = self.0.fetch_add(1, Ordering::Relaxed);
        let times = times(digits.len(), &mut Stream::new(0, Purpose::Timesteps, batch));
        let noise = Stream::new(0, Purpose::Noise, batch).normal(digits.len() * PIXELS);
        Noisy::new(&digits, &times, noise, device)
    }
}

impl Denoiser {
    pub fn new(device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self {
            pixels_in: linear(PIXELS, WIDTH),
            time_in: linear(TIME_FEATURES, WIDTH),
            hidden: linear(WIDTH, WIDTH),
            noise_out: linear(WIDTH, PIXELS),
        }
    }

    /// The noise it sees, `[batch_size, 64]`.
    fn forward(&self, noisy: &Noisy) -> Tensor<2> {
        let x = self.pixels_in.forward(noisy.latents.clone());
        let x = silu(x + self.time_in.forward(noisy.time.clone()));
        let x = silu(self.hidden.forward(x.clone())) + x;
        self.noise_out.forward(x)
    }

    pub fn loss(&self, noisy: &Noisy) -> Tensor<1> {
        self.output(noisy).loss
    }

    fn output(&self, noisy: &Noisy) -> RegressionOutput {
        let output = self.forward(noisy);
        let loss = MseLoss::new().forward(output.clone(), noisy.noise.clone(), Reduction::Mean);
        RegressionOutput::new(loss, output, noisy.noise.clone())
    }
}

impl TrainStep for Denoiser {
    type Input = Noisy;
    type Output = RegressionOutput;

    fn step(&self, noisy: Noisy) -> TrainOutput<RegressionOutput> {
        let output = self.output(&noisy);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Denoiser {
    type Input = Noisy;
    type Output = RegressionOutput;

    fn step(&self, noisy: Noisy) -> RegressionOutput {
        self.output(&noisy)
    }
}
