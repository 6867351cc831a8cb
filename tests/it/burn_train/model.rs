//! A small regression, and how it is trained.

use std::{cell::RefCell, path::Path, rc::Rc, sync::Arc};

use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    module::{Module, Param},
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::{ModuleOptimizer, SgdConfig, momentum::MomentumConfig},
    tensor::{Device, Tensor, TensorData},
    train::{
        InferenceStep, Learner, LearningResult, RegressionOutput, SupervisedTraining, TrainOutput,
        TrainStep, TrainingStrategy,
    },
};
use dvar::{
    burn_train::StepwiseLearningStrategy,
    callbacks::DeterministicEval,
    early_stopping::{Control, Dvar},
    rng::{Purpose, Stream},
    trainer::{Callback, Record, StepContext, TrainError},
};

#[path = "../../../examples/support/quiet.rs"]
mod quiet;

pub use quiet::Quiet;

pub const RATE: f64 = 0.01;
pub const EPOCHS: usize = 12;

#[derive(Module, Debug)]
pub struct Line {
    layer: Linear,
}

#[derive(Clone, Debug)]
pub struct Points {
    inputs: Tensor<2>,
    targets: Tensor<2>,
}

impl Line {
    /// The same start each time, whatever other tests draw.
    pub fn new(device: &Device) -> Self {
        let mut layer = LinearConfig::new(3, 1).init(device);
        let weight = Tensor::from_floats([[0.9], [-0.7], [0.4]], device);
        layer.weight = Param::from_tensor(weight);
        layer.bias = Some(Param::from_tensor(Tensor::from_floats([0.0], device)));
        Self { layer }
    }

    pub fn loss(&self, points: &Points) -> Tensor<1> {
        let output = self.layer.forward(points.inputs.clone());
        MseLoss::new().forward(output, points.targets.clone(), Reduction::Mean)
    }

    pub fn weights(&self) -> Vec<f32> {
        self.layer.weight.val().into_data().iter::<f32>().collect()
    }

    fn output(&self, points: &Points) -> RegressionOutput {
        let output = self.layer.forward(points.inputs.clone());
        RegressionOutput::new(self.loss(points), output, points.targets.clone())
    }
}

impl TrainStep for Line {
    type Input = Points;
    type Output = RegressionOutput;

    fn step(&self, points: Points) -> TrainOutput<RegressionOutput> {
        let output = self.output(&points);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Line {
    type Input = Points;
    type Output = RegressionOutput;

    fn step(&self, points: Points) -> RegressionOutput {
        self.output(&points)
    }
}

/// Makes noisy points of their numbers.
pub struct ToPoints;

impl Batcher<usize, Points> for ToPoints {
    fn batch(&self, items: Vec<usize>, device: &Device) -> Points {
        let rows = items.iter().map(|i| Stream::new(1, Purpose::Noise, *i as u64).normal(4));
        let rows: Vec<Vec<f32>> = rows.collect();
        let target = |x: &[f32]| 0.5 * x[0] + 0.25 * x[1] - x[2] + 0.3 * x[3];
        let inputs = rows.iter().flat_map(|row| row[..3].to_vec()).collect();
        let targets = rows.iter().map(|row| target(row)).collect();
        let tensor = |values: Vec<f32>, width| {
            Tensor::from_data(TensorData::new(values, [items.len(), width]), device)
        };
        Points { inputs: tensor(inputs, 3), targets: tensor(targets, 1) }
    }
}

/// 50 points in batches of 4, in order: the last batch is smaller.
pub fn loader() -> Arc<dyn DataLoader<Points>> {
    DataLoaderBuilder::new(ToPoints).batch_size(4).build(InMemDataset::new((0..50).collect()))
}

pub fn fixed_batch() -> Points {
    ToPoints.batch((100..116).collect(), &Device::flex())
}

/// The evaluation that most tests stop by.
pub fn deterministic(threshold: f64) -> impl Callback<Line> {
    DeterministicEval::new(fixed_batch(), Line::loss).stop_when(Dvar::new(6, threshold).unwrap())
}

pub fn optimizer() -> ModuleOptimizer {
    SgdConfig::new().with_momentum(Some(MomentumConfig::new().with_momentum(0.5))).init()
}

pub fn learner() -> Learner<Line> {
    Learner::new(Line::new(&Device::flex().autodiff()), optimizer(), RATE)
}

pub fn training(folder: &Path, accumulation: Option<usize>) -> SupervisedTraining<Line> {
    let training = SupervisedTraining::new(folder, loader(), loader())
        .num_epochs(EPOCHS)
        .renderer(Box::new(Quiet))
        .with_application_logger(None);
    match accumulation {
        Some(batches) => training.grads_accumulation(batches),
        None => training,
    }
}

pub fn strategy() -> StepwiseLearningStrategy<Line> {
    StepwiseLearningStrategy::new(Device::flex())
}

pub fn launch(
    strategy: impl Into<TrainingStrategy<Line>>,
    accumulation: Option<usize>,
) -> LearningResult<Line> {
    let folder = tempfile::tempdir().unwrap();
    let training = training(folder.path(), accumulation);
    training.with_training_strategy(strategy.into()).launch(learner())
}

/// What ends up in the records of a run.
pub type Records = Rc<RefCell<Vec<Record>>>;

pub struct Recorder(pub Records);

impl<M, S> Callback<M, S> for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn after_update(&mut self, step: StepContext<'_, M>) -> Result<Control, TrainError> {
        self.0.borrow_mut().push(step.record.clone());
        Ok(Control::Continue)
    }
}
