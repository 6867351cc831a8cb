//! The same concept, on the same data and draws, in burn's `Learner` and in this crate's trainer.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use burn::{
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    module::{Module, Param},
    optim::{
        GradientsParams, ModuleOptimizer, SgdConfig,
        lr_scheduler::module_lr_scheduler::ModuleLearningRate,
    },
    tensor::{Device, Tensor},
    train::{InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep},
};
use dvar::{
    burn_train::StepwiseLearningStrategy,
    callbacks::DeterministicEval,
    concept::{Concept, ConceptWeights, Method},
    config::TrainConfig,
    early_stopping::{Dvar, StopReason},
    objective::DrawSource,
    optim::Optimizer,
    session::Session,
    trainer::Callbacks,
};

use super::model::{Quiet, Recorder, Records};
use crate::{determinism, support::only};

const STEPS: usize = 30;

/// What both trainings share; a burn module cannot hold it.
struct Shared {
    config: TrainConfig,
    session: Session,
    optimizer: RefCell<Box<dyn Optimizer>>,
    updates: Cell<usize>,
}

thread_local! {
    static SHARED: RefCell<Option<Rc<Shared>>> = const { RefCell::new(None) };
}

fn shared() -> Rc<Shared> {
    SHARED.with_borrow(|shared| shared.clone().expect("the test sets it"))
}

/// The concept's vectors as a burn module.
#[derive(Module, Debug)]
struct Learned {
    vectors: Param<Tensor<2>>,
}

#[derive(Clone, Debug)]
struct Step(usize);

struct ToStep;

impl Batcher<usize, Step> for ToStep {
    fn batch(&self, items: Vec<usize>, _device: &Device) -> Step {
        Step(items[0])
    }
}

impl TrainStep for Learned {
    type Input = Step;
    type Output = ();

    fn step(&self, Step(step): Step) -> TrainOutput<()> {
        let session = &shared().session;
        let batch = session.objective.batch(&session.draws.draw(step));
        let loss = session.objective.loss(&ConceptWeights::new(vec![self.vectors.val()]), &batch);
        TrainOutput::new(self, loss.backward(), ())
    }

    /// This crate's optimizer, so that both trainings make the same updates.
    fn optimize(
        self,
        _optim: &mut ModuleOptimizer,
        _rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        let shared = shared();
        let gradient = gradients.get::<2>(self.vectors.id).unwrap();
        let rate = shared.config.trainer.lr_schedule.at(shared.updates.get());
        shared.updates.set(shared.updates.get() + 1);
        let values = vec![self.vectors.val().inner()];
        let updated = shared.optimizer.borrow_mut().update(values, vec![gradient], rate).remove(0);
        Self { vectors: self.vectors.map(|_| updated.autodiff().require_grad()) }
    }
}

impl InferenceStep for Learned {
    type Input = Step;
    type Output = ();

    fn step(&self, _step: Step) {}
}

/// The reason, the evaluation losses and the vectors.
type Run = (StopReason, Vec<f64>, Vec<f32>);

fn eval_losses(records: &Records) -> Vec<f64> {
    records.borrow().iter().map(|record| record.get("eval_loss").unwrap()).collect()
}

fn in_our_trainer(config: &TrainConfig, session: &Session, criterion: Dvar) -> Run {
    let records = Records::default();
    let losses = |concept: &Concept, evaluation| session.evaluation_losses(concept, evaluation);
    let mut callbacks: Callbacks<'_> = vec![
        Box::new(DeterministicEval::from_losses(losses).stop_when(criterion)),
        Box::new(Recorder(records.clone())),
    ];
    let mut trainer = session.trainer(config);
    let stop = pollster::block_on(trainer.train(&mut callbacks)).unwrap();
    let vectors = only(trainer.concept().vectors()).into_data().iter::<f32>().collect();
    (stop, eval_losses(&records), vectors)
}

fn in_burn_s_learner(criterion: Dvar) -> Run {
    let (shared, records) = (shared(), Records::default());
    let vectors = only(shared.session.concept(&shared.config).vectors());
    let model = Learned { vectors: Param::from_tensor(vectors.autodiff()) };
    let losses = move |model: &Learned, evaluation| {
        let mut concept = shared.session.concept(&shared.config);
        concept.set(vec![model.vectors.val().inner()]);
        shared.session.evaluation_losses(&concept, evaluation)
    };
    let strategy = StepwiseLearningStrategy::new(Device::flex())
        .with_callback(DeterministicEval::from_losses(losses).stop_when(criterion))
        .with_callback(Recorder(records.clone()));
    let outcome = strategy.outcome();
    let loader = |steps| {
        DataLoaderBuilder::new(ToStep).batch_size(1).build(InMemDataset::new((0..steps).collect()))
    };
    let folder = tempfile::tempdir().unwrap();
    let result = SupervisedTraining::new(folder.path(), loader(STEPS), loader(1))
        .num_epochs(1)
        .renderer(Box::new(Quiet))
        .with_application_logger(None)
        .with_training_strategy(strategy.into())
        .launch(Learner::new(model, SgdConfig::new().init(), 0.0));
    assert!(result.error.is_none());
    let vectors = result.model.vectors.val().into_data().iter::<f32>().collect();
    (outcome.stop().unwrap(), eval_losses(&records), vectors)
}

#[test]
fn a_concept_stops_at_the_step_of_our_trainer() {
    let kind = (Method::TextualInversion, "adamw");
    let (config, session) = determinism::session(kind, STEPS, 1);
    let recorded = in_our_trainer(&config, &session, Dvar::new(5, 0.0).unwrap());
    let mut dvar = Dvar::new(5, 0.0).unwrap();
    let mut ratios: Vec<f64> = Vec::new();
    for loss in &recorded.1 {
        let _ = dvar.update(*loss).unwrap();
        ratios.push(dvar.ratio());
    }
    // half way between the lowest ratio and 1, so that there is a stop whatever the golden model
    let lowest = ratios.iter().copied().fold(1.0, f64::min);
    let criterion = Dvar::new(5, (1.0 + lowest) / 2.0).unwrap();
    let optimizer = config.trainer.optimizer.init(&session.concept(&config).values());
    let ours = in_our_trainer(&config, &session, criterion.clone());
    assert!(matches!(ours.0, StopReason::Dvar { step, .. } if step < STEPS - 1), "{}", ours.0);
    let shared =
        Shared { config, session, optimizer: RefCell::new(optimizer), updates: Cell::new(0) };
    SHARED.set(Some(Rc::new(shared)));
    let burns = in_burn_s_learner(criterion);
    assert_eq!(burns, ours);
    println!("both: {}", ours.0);
}
