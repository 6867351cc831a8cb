//! Runs that end otherwise than by a criterion.

use std::{cell::Cell, rc::Rc};

use burn::{
    tensor::Tensor,
    train::{
        Interrupter, MetricEarlyStoppingStrategy, StoppingCondition,
        metric::{
            LossMetric,
            store::{Aggregate, Direction, Split},
        },
    },
};
use dvar::{
    burn_train::EpochEarlyStopping,
    callbacks::{DeterministicEval, ScoreMonitor},
    early_stopping::{Control, Dvar, ScorePatience, StopReason},
    trainer::{Callback, LocalBoxFuture, StepContext, TrainError},
};

use super::model::{Line, deterministic, fixed_batch, launch, learner, strategy, training};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Before,
    After,
    PanicBefore,
    PanicAfter,
}

/// Fails at a step, and counts how often it was asked.
struct Faulty {
    fault: Fault,
    at: usize,
    asked: Rc<Cell<usize>>,
}

impl Faulty {
    fn answer(&self, step: usize, error: bool, panic: bool) -> Result<Control, TrainError> {
        match step == self.at {
            true if error => Err(TrainError::callback("faulty", "the disk is full")),
            true if panic => panic!("the disk is gone"),
            _ => Ok(Control::Continue),
        }
    }
}

impl Callback<Line> for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn before_update_async<'a>(
        &'a mut self,
        step: StepContext<'a, Line>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        self.asked.set(self.asked.get() + 1);
        let [error, panic] =
            [matches!(self.fault, Fault::Before), matches!(self.fault, Fault::PanicBefore)];
        Box::pin(async move { self.answer(step.record.step, error, panic) })
    }

    fn after_update_async<'a>(
        &'a mut self,
        step: StepContext<'a, Line>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        let [error, panic] =
            [matches!(self.fault, Fault::After), matches!(self.fault, Fault::PanicAfter)];
        // not in the future: such a panic must be caught too
        let answer = self.answer(step.record.step, error, panic);
        Box::pin(async move { answer })
    }
}

#[test]
fn a_callback_that_fails_or_panics_ends_the_run_as_an_error_at_once() {
    for (fault, said) in [
        (Fault::Before, "faulty: the disk is full"),
        (Fault::After, "faulty: the disk is full"),
        (Fault::PanicBefore, "a callback panicked: the disk is gone"),
        (Fault::PanicAfter, "a callback panicked: the disk is gone"),
    ] {
        let asked = Rc::new(Cell::new(0));
        let faulty = Faulty { fault, at: 7, asked: asked.clone() };
        let strategy = strategy().with_callback(deterministic(0.0)).with_callback(faulty);
        let outcome = strategy.outcome();
        let result = launch(strategy, None);
        let words = result.error.unwrap().to_string();
        assert!(words.ends_with(said), "{fault:?}: {words}");
        assert!(result.interrupted.is_none(), "{fault:?}");
        assert_eq!(outcome.error().unwrap().to_string(), said, "{fault:?}");
        assert_eq!(outcome.stop(), None, "{fault:?}");
        assert_eq!(asked.get(), 8, "{fault:?}: no step may follow");
    }
}

#[test]
fn an_evaluation_that_is_not_finite_ends_the_run_as_an_error() {
    let objective = |model: &Line, batch: &Tensor<1>| batch.clone() * model.weights()[0];
    let eval = DeterministicEval::new(
        Tensor::from_floats([f32::NAN], &burn::tensor::Device::flex()),
        objective,
    );
    let strategy = strategy().with_callback(eval.stop_when(Dvar::new(2, 0.1).unwrap()));
    let outcome = strategy.outcome();
    let words = launch(strategy, None).error.unwrap().to_string();
    assert!(words.contains("the loss of evaluation 1 is `NaN`"), "{words}");
    assert_eq!(outcome.steps(), 0);
}

#[test]
fn a_criterion_that_is_given_no_score_ends_the_run_as_an_error() {
    let monitor = ScoreMonitor::new(async |_: &Line, _| Ok(Vec::new()))
        .stop_when(ScorePatience::new(0.0, 1).unwrap());
    let words = launch(strategy().with_callback(monitor), None).error.unwrap().to_string();
    let said = "score-monitor: there is no score for the criterion to watch";
    assert!(words.ends_with(said), "{words}");
}

#[test]
fn an_evaluation_without_a_loss_ends_the_run_as_an_error() {
    let eval = DeterministicEval::from_losses(|_: &Line, _: usize| Vec::<Tensor<1>>::new());
    let words = launch(strategy().with_callback(eval), None).error.unwrap().to_string();
    assert!(words.ends_with("deterministic-eval: the evaluation gives no loss"), "{words}");
}

/// Without a criterion they save nothing, but would write the same figures twice.
#[test]
fn two_evaluations_of_one_name_without_a_criterion_are_refused_too() {
    let eval = || DeterministicEval::new(fixed_batch(), Line::loss);
    let strategy = strategy().with_callback(eval()).with_callback(eval());
    let outcome = strategy.outcome();
    let words = launch(strategy, None).error.unwrap().to_string();
    assert!(words.contains("deterministic-eval") && words.contains("`named`"), "{words}");
    assert_eq!(outcome.steps(), 0);
}

#[test]
fn two_callbacks_of_one_name_are_refused_before_the_first_step() {
    let strategy = strategy().with_callback(deterministic(0.0)).with_callback(deterministic(0.1));
    let outcome = strategy.outcome();
    let words = launch(strategy, None).error.unwrap().to_string();
    assert!(words.contains("deterministic-eval") && words.contains("`named`"), "{words}");
    assert_eq!(outcome.steps(), 0);
}

#[test]
fn an_interruption_from_outside_ends_the_run_and_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let training = training(folder.path(), None);
    let interrupter = training.interrupter();
    let eval = DeterministicEval::from_losses(move |model: &Line, evaluation: usize| {
        if evaluation == 9 {
            interrupter.stop(Some("enough"));
        }
        vec![Tensor::from_floats([model.weights()[0]], &burn::tensor::Device::flex())]
    });
    let strategy = strategy().with_callback(eval);
    let outcome = strategy.outcome();
    let result = training.with_training_strategy(strategy.into()).launch(learner());
    assert_eq!(result.interrupted.unwrap().reason.as_deref(), Some("enough"));
    assert_eq!(outcome.stop(), Some(StopReason::Interrupted { steps: 10 }));
}

/// The loss falls: after the second epoch it has not risen.
fn after_the_second_epoch() -> MetricEarlyStoppingStrategy {
    MetricEarlyStoppingStrategy::new(
        &LossMetric::new(),
        Aggregate::Mean,
        Direction::Highest,
        Split::Valid,
        StoppingCondition::NoImprovementSince { n_epochs: 1 },
    )
}

/// An epoch has 13 batches.
#[test]
fn what_burn_s_early_stopping_ends_is_told_neither_as_all_steps_nor_as_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let training = || training(folder.path(), None).metric_valid_numeric(LossMetric::new());
    let loss = LossMetric::new();
    let stepwise = strategy().with_callback(deterministic(0.0));
    let outcome = stepwise.outcome();
    let result = training()
        .early_stopping(after_the_second_epoch())
        .with_training_strategy(stepwise.into())
        .launch(learner());
    assert!(result.interrupted.is_none());
    assert_eq!(outcome.steps(), 26);
    let stop = outcome.stop().unwrap();
    assert!(matches!(&stop, StopReason::Other { step: 25, .. }), "{stop}");

    let (own, training) = (strategy(), training());
    let outcome = own.outcome();
    let dvar = Dvar::new(3, 0.3).unwrap();
    let ours = EpochEarlyStopping::new(&loss, Split::Valid, dvar, training.interrupter());
    let training = training.early_stopping(ours).with_training_strategy(own.into());
    let words = training.launch(learner()).interrupted.unwrap().reason.unwrap();
    let stop = outcome.stop().unwrap();
    assert!(matches!(&stop, StopReason::Other { text, .. } if *text == words), "{stop}");
}

/// `Interrupter::reset` leaves them.
#[test]
fn an_early_stop_is_not_told_in_the_words_of_an_earlier_training() {
    let interrupter = Interrupter::new();
    interrupter.stop(Some("the first one was enough"));
    interrupter.reset();
    let folder = tempfile::tempdir().unwrap();
    let strategy = strategy();
    let outcome = strategy.outcome();
    training(folder.path(), None)
        .with_interrupter(interrupter)
        .metric_valid_numeric(LossMetric::new())
        .early_stopping(after_the_second_epoch())
        .with_training_strategy(strategy.into())
        .launch(learner());
    let stop = outcome.stop().unwrap();
    let StopReason::Other { text, .. } = &stop else { panic!("{stop}") };
    assert_eq!(text, "a metric met its condition");
}
