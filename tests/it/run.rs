//! What a run keeps, and what its observer's errors become.

use std::{cell::RefCell, convert::Infallible, sync::Arc};

use dvar::{
    callbacks::Interrupt,
    concept::{Concept, Method},
    config::{MixedPrecision, Stopping, TrainOptions},
    data::dataset::Dataset,
    early_stopping::{Control, StopReason},
    session::{
        Best, Cause, CheckedOptions, Moment, Observer, Outcome, PreparedRun, RunError,
        SessionError, Shown, run,
    },
    trainer::{Callback, Callbacks, StepContext, TrainError, TrainState},
};
use dvar_models::weights::{Folder, ModelSource};

use crate::{
    determinism::{KINDS, options, prepared, session, states},
    golden,
    support::tiny_sd,
};

/// What fails in the observer, with an error that is no `std::error::Error`.
#[derive(Clone, Debug, PartialEq)]
enum Failing {
    Nothing,
    SamplesAfter(usize),
    CallbackAt(usize),
    TheEnd,
}

/// Keeps the scores that it is shown.
struct Observing {
    failing: Failing,
    earlier: Option<Best>,
    /// Whether a step is to be tried, and again after the first.
    tries: bool,
    /// What came before the training, in order.
    before: RefCell<Vec<&'static str>>,
    scores: RefCell<Vec<(usize, f64)>>,
    kept: RefCell<Option<usize>>,
}

impl Observing {
    fn new(failing: Failing) -> Self {
        let (before, scores, kept) = Default::default();
        Self { failing, earlier: None, tries: false, before, scores, kept }
    }

    fn fail_if(&self, failing: Failing) -> Result<(), Failing> {
        if self.failing == failing { Err(failing) } else { Ok(()) }
    }
}

impl Observer for Observing {
    type Error = Failing;

    async fn class_pictures(&self, _: &PreparedRun) -> Result<Option<Dataset>, RunError<Failing>> {
        Ok(None)
    }

    async fn samples(&self, Shown { moment, drawn, .. }: Shown<'_>) -> Result<(), Failing> {
        match moment {
            Moment::During { steps, .. } => {
                self.scores.borrow_mut().extend(drawn.score.map(|score| (steps, score)));
                self.fail_if(Failing::SamplesAfter(steps))
            }
            Moment::After { .. } => self.fail_if(Failing::TheEnd),
            Moment::Before => {
                self.before.borrow_mut().push("the first samples");
                Ok(())
            }
            Moment::Unscaled => Ok(()),
        }
    }

    fn tries_step<'a>(&'a self, _: &'a PreparedRun) -> Option<Box<dyn FnMut() -> bool + 'a>> {
        let tried = move || {
            let mut before = self.before.borrow_mut();
            before.push("a step");
            before.len() == 1
        };
        self.tries.then(|| Box::new(tried) as Box<dyn FnMut() -> bool + 'a>)
    }

    fn callbacks<'a>(
        &'a self,
        _: &PreparedRun,
        _: Option<&TrainState>,
    ) -> Result<Callbacks<'a>, Failing> {
        Ok(vec![Box::new(self)])
    }

    fn earlier_best(&self, _: &TrainState) -> Result<Option<Best>, Failing> {
        Ok(self.earlier.clone())
    }

    fn keep(&self, best: &Best) -> Result<(), Failing> {
        self.kept.replace(Some(best.steps));
        Ok(())
    }
}

impl Callback<Concept, TrainState> for &Observing {
    fn name(&self) -> &'static str {
        "observing"
    }

    fn after_update(&mut self, step: StepContext<'_, Concept>) -> Result<Control, TrainError> {
        let failed = self.fail_if(Failing::CallbackAt(step.record.step));
        failed.map_err(|error| RunError::observer(error).through("observing"))?;
        Ok(Control::Continue)
    }
}

/// Four steps of Textual Inversion with a picture after every second.
fn small() -> TrainOptions {
    let kind = (Method::TextualInversion, "adamw");
    let mut options = options(MixedPrecision::No, kind, 4, 1);
    options.stopping.stopping = Some(Stopping::FewIters);
    options.stopping.sample_frequency = Some(2);
    options.samples.num_samples = Some(1);
    options.samples.num_inference_steps = Some(1);
    options
}

fn made(options: TrainOptions, observer: &Observing) -> Result<Outcome, RunError<Failing>> {
    pollster::block_on(run(&prepared(options), observer))
}

/// Only says that there are no pictures of a class.
struct Nobody;

impl Observer for Nobody {
    type Error = Infallible;

    async fn class_pictures(
        &self,
        _: &PreparedRun,
    ) -> Result<Option<Dataset>, RunError<Infallible>> {
        Ok(None)
    }
}

#[test]
fn a_run_that_nobody_watches_gives_its_outcome() {
    let outcome = pollster::block_on(run(&prepared(small()), &Nobody)).unwrap();
    assert_eq!((outcome.steps, &outcome.stop), (4, &StopReason::MaxSteps { steps: 4 }));
    assert_eq!(outcome.kept(), &outcome.last);
}

#[test]
fn a_step_that_is_tried_comes_before_the_samples_and_changes_nothing() {
    let mut options = small();
    options.stopping.stopping = Some(Stopping::Dvar); // which evaluates
    let trying = Observing { tries: true, ..Observing::new(Failing::Nothing) };
    let draws_before = PreparedRun { draws_before: true, ..prepared(options.clone()) };
    let tried = pollster::block_on(run(&draws_before, &trying)).unwrap();
    assert_eq!(trying.before.take(), ["a step", "a step", "the first samples"]);
    let untried = pollster::block_on(run(&prepared(options), &Nobody)).unwrap();
    assert_eq!(tried.last, untried.last);
}

#[test]
fn an_observer_s_error_comes_out_as_it_was_with_the_last_good_concept() {
    let whole = made(small(), &Observing::new(Failing::Nothing)).unwrap();
    for failing in [Failing::SamplesAfter(2), Failing::CallbackAt(2)] {
        let error = made(small(), &Observing::new(failing.clone())).unwrap_err();
        assert!(matches!(&error.cause, Cause::Observer(error) if *error == failing), "{error:?}");
        let last_good = error.last_good.expect("the vectors before the update");
        assert!(last_good.embedding.encoders()[0].values.iter().all(|value| value.is_finite()));
        assert_ne!(last_good.embedding, whole.last.embedding, "{failing:?}");
    }
}

#[test]
fn a_loss_that_is_no_number_leaves_the_last_good_concept() {
    let mut options = small();
    options.optimizer.learning_rate = Some(1e30);
    let error = made(options, &Observing::new(Failing::Nothing)).unwrap_err();
    assert!(matches!(error.cause, Cause::Train(TrainError::NonFinite { .. })), "{error:?}");
    let last_good = error.last_good.expect("the last vectors with a finite loss");
    assert!(last_good.embedding.encoders()[0].values.iter().all(|value| value.is_finite()));
}

/// What was trained is whole then, and has been kept.
#[test]
fn a_failure_after_the_training_gives_no_last_good_concept() {
    let error = made(small(), &Observing::new(Failing::TheEnd)).unwrap_err();
    assert!(matches!(error.cause, Cause::Observer(Failing::TheEnd)), "{error:?}");
    assert!(error.last_good.is_none());
}

/// A run of the baseline whose checkpoints a scorer judges.
fn baseline(observer: &Observing, state: Option<TrainState>) -> Outcome {
    let mut options = small();
    options.stopping.stopping = Some(Stopping::Baseline);
    // the options' own scorer would be a folder
    options.samples.clip = Some("given".into());
    let clip = Folder(golden::root().join("models/tiny-clip"));
    let clip = Some(Arc::new(clip) as Arc<dyn ModelSource>);
    let run_ = PreparedRun { clip, state, ..prepared(options) };
    pollster::block_on(run(&run_, observer)).unwrap()
}

#[test]
fn the_baseline_keeps_the_best_of_its_scores() {
    let observer = Observing::new(Failing::Nothing);
    let outcome = baseline(&observer, None);
    let scores = observer.scores.take();
    assert_eq!(scores.iter().map(|(steps, _)| *steps).collect::<Vec<_>>(), [2, 4]);
    let most = scores.iter().map(|(_, score)| *score).fold(f64::MIN, f64::max);
    let (steps, _) = scores.into_iter().find(|(_, score)| *score == most).unwrap();
    let best = outcome.best.as_ref().unwrap();
    assert_eq!((best.steps, best.score), (steps, most));
    assert_eq!(observer.kept.take(), Some(steps));
    assert_eq!(outcome.kept(), &best.concept);
    assert_eq!(best.concept == outcome.last, steps == outcome.steps);
}

#[test]
fn a_resumed_baseline_keeps_a_concept_of_before_that_is_better_or_as_good() {
    let mut unscored = small();
    unscored.stopping.sample_frequency = None;
    let state = states(&prepared(unscored), None, 3);
    let whole = Observing::new(Failing::Nothing);
    let concept = baseline(&whole, None).last;
    let (_, last) = whole.scores.take()[1];
    for (score, kept) in [(2.0, 1), (last, 1), (last - 1e-6, 4)] {
        let earlier = Some(Best { steps: 1, score, concept: concept.clone() });
        let observer = Observing { earlier, ..Observing::new(Failing::Nothing) };
        let outcome = baseline(&observer, Some(state[0].clone()));
        assert_eq!(outcome.best.unwrap().steps, kept, "{score}");
        assert_eq!(observer.kept.take(), Some(kept), "{score}");
        assert_eq!(observer.scores.take(), [(4, last)], "only the second half was made");
    }
}

#[test]
fn time_steps_that_the_schedule_does_not_have_are_refused_before_anything_is_loaded() {
    const BEYOND: usize = 1_000_000;
    for (min, max, option) in [
        (Some(BEYOND), None, "min_timestep"),
        (None, Some(BEYOND), "max_timestep"),
        (Some(5), Some(5), "max_timestep"),
        (None, Some(0), "max_timestep"),
    ] {
        let mut options = small();
        (options.training.min_timestep, options.training.max_timestep) = (min, max);
        let checked = CheckedOptions::new(&options, tiny_sd()).unwrap();
        let error = checked.start::<SessionError>(|_| unreachable!("no file is named"));
        assert_eq!(error.unwrap_err().option(), Some(option), "{min:?} {max:?}");
    }
}

/// Says at every step both that the run is over and that the user wants its end.
struct Impatient {
    user: bool,
}

impl Callback<Concept, TrainState> for Impatient {
    fn name(&self) -> &'static str {
        "impatient"
    }

    fn before_update(&mut self, step: StepContext<'_, Concept>) -> Result<Control, TrainError> {
        Ok(Control::Stop(StopReason::ConstantObjective { step: step.record.step }))
    }

    fn after_update(&mut self, step: StepContext<'_, Concept>) -> Result<Control, TrainError> {
        let stop = Control::Stop(StopReason::Interrupted { steps: step.record.step + 1 });
        Ok(if self.user { stop } else { Control::Continue })
    }
}

#[test]
fn a_criterion_that_may_not_end_the_run_yet_does_not_keep_the_user_from_it() {
    let (mut config, session) = session(KINDS[0], 6, 1);
    let mut ended = |min_train_steps, user| {
        config.trainer.min_train_steps = min_train_steps;
        let mut callbacks: Callbacks<'_> = vec![Box::new(Impatient { user })];
        pollster::block_on(session.trainer(&config).train(&mut callbacks)).unwrap()
    };
    assert_eq!(ended(3, false), StopReason::ConstantObjective { step: 3 });
    assert_eq!(ended(3, true), StopReason::Interrupted { steps: 1 });
    // without a least number, what came first counts
    assert_eq!(ended(0, true), StopReason::ConstantObjective { step: 0 });
}

#[test]
fn a_user_who_ends_a_run_in_its_last_step_has_the_whole_one() {
    let (config, session) = session(KINDS[0], 1, 1);
    let mut callbacks: Callbacks<'_> = vec![Box::new(Interrupt(Arc::new(true.into())))];
    let stop = pollster::block_on(session.trainer(&config).train(&mut callbacks)).unwrap();
    assert_eq!(stop, StopReason::MaxSteps { steps: 1 });
}
