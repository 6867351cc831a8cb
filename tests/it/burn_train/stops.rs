//! Where a run stops.

use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Tensor},
    train::ExecutionStrategy,
};
use dvar::{
    callbacks::{DeterministicEval, ScoreMonitor},
    early_stopping::{Control, Dvar, ScorePatience, StopReason},
};

use super::model::{
    EPOCHS, Line, RATE, Recorder, Records, deterministic, fixed_batch, launch, loader, optimizer,
    strategy,
};
use crate::own_criterion::SlowFall;

const ACCUMULATION: [Option<usize>; 3] = [None, Some(1), Some(5)];

/// A loop of one's own: the reason, the evaluation losses and the weights after the last step.
fn own_loop(threshold: f64, accumulation: usize) -> (Option<StopReason>, Vec<f64>, Vec<f32>) {
    let device = Device::flex().autodiff();
    let (mut model, mut optimizer) = (Line::new(&device), optimizer());
    let (batch, loader) = (fixed_batch(), loader().to_device(&device));
    let mut dvar = Dvar::new(6, threshold).unwrap();
    let mut losses = Vec::new();
    for _ in 0..EPOCHS {
        let mut gradients = GradientsAccumulator::new();
        let batches: Vec<_> = loader.iter().map(Result::unwrap).collect();
        for (i, points) in batches.iter().enumerate() {
            let step = model.loss(points).backward();
            gradients.accumulate(&model, GradientsParams::from_grads(step, &model));
            if !(i + 1).is_multiple_of(accumulation) && i + 1 != batches.len() {
                continue;
            }
            losses.push(model.valid().loss(&batch).into_scalar::<f32>().into());
            let control = dvar.update(*losses.last().unwrap()).unwrap();
            model = optimizer.step(RATE, model, gradients.grads());
            if let Control::Stop(reason) = control {
                return (Some(reason), losses, model.weights());
            }
        }
    }
    (None, losses, model.weights())
}

#[test]
fn a_learner_stops_at_the_step_of_a_loop_of_ones_own_with_the_same_model() {
    for (threshold, accumulation) in
        [0.0, 0.02, 0.2].into_iter().flat_map(|t| ACCUMULATION.map(|a| (t, a)))
    {
        let (reason, losses, weights) = own_loop(threshold, accumulation.unwrap_or(1));
        let records = Records::default();
        let strategy = strategy()
            .with_callback(deterministic(threshold))
            .with_callback(Recorder(records.clone()));
        let outcome = strategy.outcome();
        let result = launch(strategy, accumulation);
        let label = format!("threshold {threshold}, accumulation {accumulation:?}");
        assert!(result.error.is_none(), "{label}");
        let seen: Vec<f64> =
            records.borrow().iter().map(|record| record.get("eval_loss").unwrap()).collect();
        assert_eq!(seen, losses, "{label}");
        assert_eq!(outcome.steps(), losses.len(), "{label}");
        assert_eq!(result.model.weights(), weights, "{label}");
        let all = StopReason::MaxSteps { steps: losses.len() };
        assert_eq!(outcome.stop(), Some(reason.clone().unwrap_or(all)), "{label}");
        let words = result.interrupted.map(|interruption| interruption.reason.unwrap());
        assert_eq!(words, reason.as_ref().map(ToString::to_string), "{label}");
        println!("{label}: {}", outcome.stop().unwrap());
    }
    assert!(own_loop(0.02, 1).0.is_some(), "the test must stop somewhere");
    assert!(own_loop(0.2, 5).0.is_some(), "the test must stop somewhere");
}

#[test]
fn ten_repetitions_stop_at_the_same_step_with_the_same_model() {
    let run = || {
        let strategy = strategy().with_callback(deterministic(0.02));
        let outcome = strategy.outcome();
        let weights = launch(strategy, Some(2)).model.weights();
        (outcome.stop(), outcome.steps(), weights)
    };
    let first = run();
    assert!(matches!(first.0, Some(StopReason::Dvar { .. })), "{first:?}");
    for repetition in 1..10 {
        assert_eq!(run(), first, "repetition {repetition}");
    }
}

#[test]
fn without_callbacks_it_trains_as_burn_s_own_strategy_does() {
    for accumulation in ACCUMULATION {
        let ours = launch(strategy(), accumulation);
        let burns = launch(ExecutionStrategy::single(Device::flex()), accumulation);
        assert_eq!(ours.model.weights(), burns.model.weights(), "{accumulation:?}");
        assert!(ours.interrupted.is_none() && ours.error.is_none());
    }
}

#[test]
fn callbacks_see_the_model_before_and_after_each_step_and_do_not_change_it() {
    let seen = Records::default();
    let strategy = strategy()
        .with_loss(|output| output.loss.clone())
        .with_callback(deterministic(0.0))
        .with_callback(ScoreMonitor::new(async |model: &Line, updates| {
            let loss = model.valid().loss(&fixed_batch()).into_scalar::<f32>();
            Ok(vec![("after", f64::from(loss)), ("updates", updates as f64)])
        }))
        .with_callback(
            ScoreMonitor::new(async |_: &Line, updates| Ok(vec![("updates", updates as f64)]))
                .named("second"),
        )
        .with_callback(Recorder(seen.clone()));
    let figures = strategy.figures();
    let result = launch(strategy, Some(3));
    let plain = launch(super::model::strategy(), Some(3));
    assert_eq!(result.model.weights(), plain.model.weights());
    let seen = seen.borrow();
    for pair in seen.windows(2) {
        assert_eq!(pair[0].get("after"), pair[1].get("eval_loss"));
    }
    for (step, record) in seen.iter().enumerate() {
        assert_eq!(record.step, step);
        assert_eq!(record.get("updates"), Some((step + 1) as f64));
        assert_eq!(record.get("second_updates"), record.get("updates"));
        assert_eq!(record.get("lr"), Some(RATE));
        assert!(record.get("loss").unwrap().is_finite());
    }
    assert_eq!(figures.get("after"), seen.last().unwrap().get("after"));
}

#[test]
fn a_criterion_of_ones_own_stops_the_learner_and_its_figures_are_recorded() {
    let records = Records::default();
    let eval = DeterministicEval::new(fixed_batch(), Line::loss).stop_when(SlowFall::new(6, 0.2));
    let strategy = strategy().with_callback(eval).with_callback(Recorder(records.clone()));
    let (outcome, dashboard) = (strategy.outcome(), strategy.figures());
    let result = launch(strategy, None);
    let stop = outcome.stop().unwrap();
    let StopReason::Other { step, figures, .. } = &stop else { panic!("{stop}") };
    assert_eq!(step + 1, outcome.steps());
    assert_eq!(result.interrupted.unwrap().reason, Some(stop.to_string()));
    let falls: Vec<f64> = records.borrow().iter().map(|r| r.get("fall").unwrap()).collect();
    assert_eq!((falls[0], falls.last().copied()), (1.0, figures.get("fall").copied()));
    assert_eq!(dashboard.get("fall"), falls.last().copied());
    assert!(falls[..*step].iter().all(|fall| *fall >= 0.2) && falls[*step] < 0.2, "{falls:?}");
}

#[test]
fn of_several_callbacks_the_first_stop_counts() {
    let worse = |_: &Line, updates: usize| vec![("score", -(updates as f64))];
    let monitor = ScoreMonitor::new(async move |model: &Line, updates| Ok(worse(model, updates)))
        .every(4)
        .stop_when(ScorePatience::new(0.0, 1).unwrap());
    let second = DeterministicEval::new(fixed_batch(), Line::loss)
        .named("second")
        .every(2)
        .stop_when(Dvar::new(40, 0.1).unwrap());
    let strategy =
        strategy().with_callback(deterministic(0.0)).with_callback(second).with_callback(monitor);
    let outcome = strategy.outcome();
    launch(strategy, Some(2));
    // scored after updates 4, 8 and 12: the second failure in a row is one too many
    let reason = StopReason::NoImprovement { step: 11, best: Some(-4.0), patience: 1 };
    assert_eq!(outcome.stop(), Some(reason));
    assert_eq!(outcome.steps(), 12);
}

#[test]
fn an_interval_spreads_the_evaluations_and_each_is_told_its_number() {
    let records = Records::default();
    let number = |_: &Line, evaluation: usize| vec![scalar(evaluation as f32)];
    let eval = DeterministicEval::from_losses(number).every(3);
    let strategy = strategy().with_callback(eval).with_callback(Recorder(records.clone()));
    launch(strategy, None);
    for record in records.borrow().iter() {
        let number = record.step.is_multiple_of(3).then_some((record.step / 3) as f64);
        assert_eq!(record.get("eval_loss"), number, "{}", record.step);
        assert_eq!(record.get("ratio"), None);
    }
}

#[test]
fn a_stop_counts_the_steps_of_the_run_and_not_the_evaluations() {
    let constant = |_: &Line, _: usize| vec![scalar(0.5)];
    let eval = DeterministicEval::from_losses(constant).every(3);
    let strategy = strategy().with_callback(eval.stop_when(Dvar::new(2, 0.5).unwrap()));
    let outcome = strategy.outcome();
    launch(strategy, None);
    assert_eq!(outcome.stop(), Some(StopReason::ConstantObjective { step: 3 }));
    assert_eq!(outcome.steps(), 4);
}

fn scalar(value: f32) -> Tensor<1> {
    Tensor::from_floats([value], &Device::flex())
}
