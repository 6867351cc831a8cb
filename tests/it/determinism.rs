//! The same run gives the same bytes, whole or resumed.

use burn::tensor::Device;
use dvar::{
    concept::{Concept, Method},
    config::{MixedPrecision, OptimizerKind, TrainConfig, TrainOptions},
    data::dataset::Dataset,
    early_stopping::StopReason,
    session::{Session, Start, Tokens},
    trainer::{Callback, LocalBoxFuture, TrainError, TrainState},
};
use std::{cell::RefCell, rc::Rc};

use crate::{golden, support::tiny_sd};

/// Keeps the state after a given step and at the end.
struct States {
    at: usize,
    kept: Rc<RefCell<Vec<TrainState>>>,
}

impl Callback<Concept> for States {
    fn name(&self) -> &'static str {
        "states"
    }

    fn wants_state(&self, step: usize, stop: Option<&StopReason>) -> bool {
        step == self.at || stop.is_some()
    }

    fn on_state<'a>(
        &'a mut self,
        state: &'a TrainState,
    ) -> LocalBoxFuture<'a, Result<(), TrainError>> {
        self.kept.borrow_mut().push(state.clone());
        Box::pin(async { Ok(()) })
    }
}

/// A session on the golden model and pictures, in f32.
pub fn session(
    kind: (Method, OptimizerKind),
    steps: usize,
    accumulation: usize,
) -> (TrainConfig, Session) {
    session_in(MixedPrecision::No, kind, steps, accumulation)
}

/// A session on the golden model and pictures.
pub fn session_in(
    precision: MixedPrecision,
    kind: (Method, OptimizerKind),
    steps: usize,
    accumulation: usize,
) -> (TrainConfig, Session) {
    let model = tiny_sd().with_precision(precision.dtype());
    let meta = golden::json("tokenizer_clip");
    let text = |key: &str| Some(meta[key].as_str().unwrap().to_string());
    let mut options = TrainOptions::default();
    options.data.train_data_dir = Some("unused".into());
    options.data.placeholder_token = text("placeholder");
    options.start.initializer_token = text("initializer");
    options.training.train_batch_size = Some(2);
    options.training.gradient_accumulation_steps = Some(accumulation);
    options.training.max_train_steps = Some(steps);
    options.training.mixed_precision = Some(precision);
    options.evaluation.eval_batch_size = Some(2);
    options.stopping.window = Some(4);
    options.stopping.threshold = Some(0.0);
    options.method.method = Some(kind.0);
    options.method.class_prompt = Some("cat".into());
    options.optimizer.optimizer = Some(kind.1);
    let config = TrainConfig::new(&options).unwrap();
    let size = model.native_resolution();
    let pictures = ["g0.png", "g1.png", "g3.png"].map(|name| {
        (
            name.to_string(),
            std::fs::read(golden::root().join("images/generated").join(name)).unwrap(),
        )
    });
    let dataset = Dataset::from_bytes(pictures.to_vec(), size, config.crop).unwrap();
    let start = Start::from_tokenizer(&config, &model.tokenizer().unwrap()).unwrap().unwrap();
    let tokens = Tokens::new(&config, &model, start).unwrap();
    let device = Device::flex();
    let class = (kind.0 == Method::CustomDiffusion).then_some(&dataset);
    let session = Session::new(&config, &model, tokens, &dataset, class, &device);
    let session = pollster::block_on(session).unwrap();
    (config, session)
}

/// A run of a method with an optimiser in f32, from its start or from a saved state: its state after
/// three steps and at its end.
fn run(
    kind: (Method, OptimizerKind),
    steps: usize,
    accumulation: usize,
    from: Option<&TrainState>,
) -> Vec<TrainState> {
    states(&session(kind, steps, accumulation), from, 3)
}

/// The states of a run after `at` steps and at its end.
pub fn states(
    (config, session): &(TrainConfig, Session),
    from: Option<&TrainState>,
    at: usize,
) -> Vec<TrainState> {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let mut callbacks: Vec<Box<dyn Callback<Concept> + '_>> =
        vec![session.deterministic_eval(config), Box::new(States { at, kept: kept.clone() })];
    let mut trainer = session.trainer(config);
    if let Some(state) = from {
        trainer.restore(state, &mut callbacks).unwrap();
    }
    pollster::block_on(trainer.train(&mut callbacks)).unwrap();
    drop(callbacks);
    Rc::into_inner(kept).unwrap().into_inner()
}

pub const KINDS: [(Method, OptimizerKind); 4] = [
    (Method::TextualInversion, OptimizerKind::AdamW),
    (Method::TextualInversion, OptimizerKind::Sam),
    (Method::DreamboothLora, OptimizerKind::AdamW),
    (Method::CustomDiffusion, OptimizerKind::AdamW),
];

#[test]
fn two_runs_with_one_seed_end_in_the_same_bytes() {
    for kind in KINDS {
        let bytes = || run(kind, 3, 1, None).last().unwrap().to_bytes().unwrap();
        assert_eq!(bytes(), bytes(), "{kind:?}");
    }
}

#[test]
fn a_resumed_run_ends_in_the_bytes_of_one_that_was_never_stopped() {
    for kind in KINDS {
        let whole = run(kind, 5, 2, None);
        let saved = TrainState::from_bytes(&whole[0].to_bytes().unwrap()).unwrap();
        assert_eq!(saved.step, 3);
        let resumed = run(kind, 5, 2, Some(&saved));
        let bytes = |states: &[TrainState]| states.last().unwrap().to_bytes().unwrap();
        assert_eq!(bytes(&whole), bytes(&resumed), "{kind:?}");
    }
}

/// At a level of one pixel the attention to itself has one key: its queries and keys get no
/// gradient, whatever the network.
#[test]
fn what_a_method_trains_moves() {
    for kind in KINDS {
        let states = run(kind, 4, 1, None);
        let pairs = states[0].parameters.iter().zip(&states[1].parameters);
        let moved = pairs.filter(|(before, after)| before.values != after.values).count();
        let all = states[0].parameters.len();
        assert!(5 * moved >= 4 * all, "{kind:?}: {moved} of {all} tensors moved");
        assert_ne!(states[0].parameters[0].values, states[1].parameters[0].values, "{kind:?}");
    }
}
