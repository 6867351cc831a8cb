//! A small regression in burn's `Learner` that DVAR ends.

use burn::{
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    module::Module,
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::SgdConfig,
    tensor::{Device, Tensor},
    train::{InferenceStep, Learner, RegressionOutput, SupervisedTraining, TrainOutput, TrainStep},
};
use dvar_callbacks::{
    DeterministicEval,
    early_stopping::{Dvar, StopReason},
    learner::StepwiseLearningStrategy,
};

#[derive(Module, Debug)]
struct Line {
    layer: Linear,
}

#[derive(Clone, Debug)]
struct Points {
    x: Tensor<2>,
    y: Tensor<2>,
}

impl Line {
    fn loss(&self, points: &Points) -> Tensor<1> {
        MseLoss::new().forward(
            self.layer.forward(points.x.clone()),
            points.y.clone(),
            Reduction::Mean,
        )
    }

    fn output(&self, points: Points) -> RegressionOutput {
        let output = self.layer.forward(points.x.clone());
        RegressionOutput::new(self.loss(&points), output, points.y)
    }
}

impl TrainStep for Line {
    type Input = Points;
    type Output = RegressionOutput;

    fn step(&self, points: Points) -> TrainOutput<RegressionOutput> {
        let output = self.output(points);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Line {
    type Input = Points;
    type Output = RegressionOutput;

    fn step(&self, points: Points) -> RegressionOutput {
        self.output(points)
    }
}

/// Points of `y = 2x - 1`.
struct OnALine;

impl Batcher<f32, Points> for OnALine {
    fn batch(&self, xs: Vec<f32>, device: &Device) -> Points {
        let x = Tensor::<1>::from_floats(xs.as_slice(), device).reshape([xs.len(), 1]);
        let y = x.clone() * 2.0 - 1.0;
        Points { x, y }
    }
}

fn main() {
    let device = Device::flex();
    let xs: Vec<f32> = (0..40).map(|i| i as f32 / 20.0 - 1.0).collect();
    let fixed_batch = OnALine.batch(xs.clone(), &device);
    let loader =
        || DataLoaderBuilder::new(OnALine).batch_size(4).build(InMemDataset::new(xs.clone()));

    let dvar = Dvar::new(50, 0.01).expect("a window and a threshold in range");
    let strategy = StepwiseLearningStrategy::<Line>::new(device.clone())
        .with_callback(DeterministicEval::new(fixed_batch, Line::loss).stop_when(dvar));
    let outcome = strategy.outcome();

    let folder = std::env::temp_dir().join("dvar-burn-user");
    let model = Line { layer: LinearConfig::new(1, 1).init(&device.autodiff()) };
    let result = SupervisedTraining::new(&folder, loader(), loader())
        .num_epochs(100)
        .with_training_strategy(strategy.into())
        .launch(Learner::new(model, SgdConfig::new().init(), 0.05));
    println!("{:?}", result.interrupted);
    assert!(matches!(outcome.stop(), Some(StopReason::Dvar { .. })), "{:?}", outcome.stop());
}
