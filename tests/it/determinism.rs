//! The same run gives the same bytes, whole or resumed.

use std::{cell::RefCell, convert::Infallible};

use burn::tensor::Device;
use dvar::{
    concept::{Concept, Method},
    config::{MixedPrecision, TrainConfig, TrainOptions},
    data::{dataset::Dataset, png::encode_png, reading::CropMode},
    early_stopping::StopReason,
    pipelines::ModelFolder,
    session::{
        CheckedOptions, Observer, PreparedRun, RunError, Session, SessionError, Shown, Start,
        Tokens, run,
    },
    trainer::{Callback, Callbacks, Replicas, TrainError, TrainState},
};

use crate::{golden, replicas::Sharing, support::tiny_sd};

/// Keeps the state after a given step and at the end.
pub struct States {
    pub at: usize,
    pub sharing: Sharing,
    pub kept: RefCell<Vec<TrainState>>,
}

impl Callback<Concept, TrainState> for &States {
    fn name(&self) -> &'static str {
        "states"
    }

    fn wants_state(&self, step: usize, stop: Option<&StopReason>) -> bool {
        step == self.at || stop.is_some()
    }

    fn on_state(&mut self, state: &TrainState) -> Result<(), TrainError> {
        self.kept.borrow_mut().push(state.clone());
        Ok(())
    }
}

impl Observer for States {
    type Error = Infallible;

    async fn class_pictures(
        &self,
        run: &PreparedRun,
    ) -> Result<Option<Dataset>, RunError<Infallible>> {
        Ok(class(run))
    }

    async fn replicas<'a>(
        &'a self,
        run: &PreparedRun,
        session: &'a Session,
        class: Option<&Dataset>,
    ) -> Result<Option<Box<dyn Replicas + 'a>>, RunError<Infallible>> {
        Ok(self.sharing.replicas(run, session, class)?)
    }

    async fn samples(&self, _: Shown<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    fn callbacks<'a>(
        &'a self,
        _: &PreparedRun,
        _: Option<&TrainState>,
    ) -> Result<Callbacks<'a>, Infallible> {
        Ok(vec![Box::new(self)])
    }

    fn concludes(&self, _: &StopReason) -> bool {
        false
    }
}

/// The concept's pictures stand for those of its class.
fn class(run: &PreparedRun) -> Option<Dataset> {
    let custom = run.checked.options.method.method == Some(Method::CustomDiffusion);
    custom.then(|| run.dataset.clone())
}

/// A session on the golden model and pictures, in f32.
pub fn session(kind: (Method, &str), steps: usize, accumulation: usize) -> (TrainConfig, Session) {
    session_in(MixedPrecision::No, kind, steps, accumulation)
}

/// A session on the golden model and pictures.
pub fn session_in(
    precision: MixedPrecision,
    kind: (Method, &str),
    steps: usize,
    accumulation: usize,
) -> (TrainConfig, Session) {
    let run = prepared(options(precision, kind, steps, accumulation));
    let session = session_of(&run);
    (run.checked.config, session)
}

/// The session of a run.
pub fn session_of(run: &PreparedRun) -> Session {
    let CheckedOptions { config, model, .. } = &run.checked;
    let Start::Known(initial) = run.start.clone() else { panic!("the options name a token") };
    let tokens = Tokens::new(config, model, initial).unwrap();
    let class = class(run);
    let session = Session::new(config, model, tokens, &run.dataset, class.as_ref(), &run.device);
    pollster::block_on(session).unwrap()
}

/// Options of a run on the golden model.
pub fn options(
    precision: MixedPrecision,
    kind: (Method, &str),
    steps: usize,
    accumulation: usize,
) -> TrainOptions {
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
    options.training.optimizer = Some(kind.1.parse().unwrap());
    options
}

/// A run on the golden model and pictures. Runs of other options may go on from its states.
pub fn prepared(options: TrainOptions) -> PreparedRun {
    prepared_on(tiny_sd(), options)
}

/// A run on another model and the golden pictures.
pub fn prepared_on(model: ModelFolder, options: TrainOptions) -> PreparedRun {
    let checked = CheckedOptions::new(&options, model).unwrap();
    let start = checked.start::<SessionError>(|_| unreachable!("no file is named")).unwrap();
    let pictures = ["g0.png", "g1.png", "g3.png"].map(|name| {
        (
            name.to_string(),
            std::fs::read(golden::root().join("images/generated").join(name)).unwrap(),
        )
    });
    let dataset =
        Dataset::from_bytes(pictures.to_vec(), checked.size(), checked.config.reading).unwrap();
    let run = PreparedRun::new(checked, start, dataset, Device::flex()).unwrap();
    PreparedRun { begun_with: String::new(), draws_before: false, ..run }
}

/// A run on the golden model and four pictures of three sizes.
pub fn of_several_sizes(mut options: TrainOptions) -> PreparedRun {
    options.data.crop = Some(CropMode::None);
    let run = prepared(options);
    let pictures = [(90_usize, 160_usize), (160, 90), (100, 100), (64, 64)].map(|(w, h)| {
        let pixels: Vec<u8> = (0..w * h * 3).map(|i| (i * 7 % 251) as u8).collect();
        (format!("{w}x{h}.png"), encode_png(w, h, &pixels).unwrap())
    });
    let (size, reading) = (run.checked.size(), run.checked.config.reading);
    let dataset = Dataset::from_bytes(pictures.to_vec(), size, reading).unwrap();
    assert_eq!(dataset.sizes(), [([48, 88], 1), ([88, 48], 1), ([64, 64], 2)]);
    PreparedRun { dataset, ..run }
}

/// A run of a method with an optimiser in f32, from its start or from a saved state: its state after
/// three steps and at its end.
fn states_of(
    kind: (Method, &str),
    steps: usize,
    accumulation: usize,
    from: Option<&TrainState>,
) -> Vec<TrainState> {
    states(&prepared(options(MixedPrecision::No, kind, steps, accumulation)), from, 3)
}

/// The states of a run after `at` steps and at its end.
pub fn states(prepared: &PreparedRun, from: Option<&TrainState>, at: usize) -> Vec<TrainState> {
    states_shared(prepared, Sharing::Whole, from, at)
}

/// The same where each batch is shared out.
pub fn states_shared(
    prepared: &PreparedRun,
    sharing: Sharing,
    from: Option<&TrainState>,
    at: usize,
) -> Vec<TrainState> {
    let observer = States { at, sharing, kept: RefCell::default() };
    let prepared = PreparedRun { state: from.cloned(), ..prepared.clone() };
    pollster::block_on(run(&prepared, &observer)).unwrap();
    observer.kept.into_inner()
}

/// A run's state at its end, as it is saved.
pub fn bytes(states: &[TrainState]) -> Vec<u8> {
    states.last().unwrap().to_bytes().unwrap()
}

pub const KINDS: [(Method, &str); 4] = [
    (Method::TextualInversion, "adamw"),
    (Method::TextualInversion, "sam"),
    (Method::DreamboothLora, "adamw"),
    (Method::CustomDiffusion, "adamw"),
];

#[test]
fn two_runs_with_one_seed_end_in_the_same_bytes() {
    for kind in KINDS {
        let run = || bytes(&states_of(kind, 3, 1, None));
        assert_eq!(run(), run(), "{kind:?}");
    }
}

#[test]
fn a_run_on_pictures_of_several_sizes_ends_in_the_same_bytes_whole_or_resumed() {
    for kind in [(Method::TextualInversion, "sam"), (Method::DreamboothLora, "adamw")] {
        let run = of_several_sizes(options(MixedPrecision::No, kind, 5, 2));
        let whole = states(&run, None, 3);
        assert_eq!(bytes(&whole), bytes(&states(&run, Some(&whole[0]), 3)), "{kind:?}");
    }
}

#[test]
fn a_resumed_run_ends_in_the_bytes_of_one_that_was_never_stopped() {
    for kind in KINDS {
        let whole = states_of(kind, 5, 2, None);
        let saved = TrainState::from_bytes(&whole[0].to_bytes().unwrap()).unwrap();
        assert_eq!(saved.step, 3);
        let resumed = states_of(kind, 5, 2, Some(&saved));
        assert_eq!(bytes(&whole), bytes(&resumed), "{kind:?}");
    }
}

/// At a level of one pixel the attention to itself has one key: its queries and keys get no
/// gradient, whatever the network.
#[test]
fn what_a_method_trains_moves() {
    for kind in KINDS {
        let mut options = options(MixedPrecision::No, kind, 4, 1);
        // a decay moves what gets no gradient, too
        options.optimizer.adam_weight_decay = Some(0.0);
        let states = states(&prepared(options), None, 3);
        let pairs = states[0].parameters.iter().zip(&states[1].parameters);
        let moved = pairs.filter(|(before, after)| before.values != after.values).count();
        let all = states[0].parameters.len();
        assert!(5 * moved >= 4 * all, "{kind:?}: {moved} of {all} tensors moved");
        assert_ne!(states[0].parameters[0].values, states[1].parameters[0].values, "{kind:?}");
    }
}
