//! Burn's checkpoints, and what the callbacks keep beside them.

use std::{
    io,
    path::{Path, PathBuf},
};

use burn::train::{
    LearningResult,
    checkpoint::{CheckpointingAction, CheckpointingStrategy},
    metric::store::EventStoreClient,
};
use dvar::{burn_train::Outcome, early_stopping::StopReason, trainer::TrainError};

use super::model::{Line, Recorder, Records, deterministic, learner, strategy, training};

/// The outcome, the evaluation losses, and burn's result.
type Run = (Outcome, Vec<f64>, LearningResult<Line>);

/// Trains some epochs, from a checkpoint or from the start.
fn run(folder: &Path, epochs: usize, from: Option<usize>, keep: bool) -> Run {
    let records = Records::default();
    let strategy =
        strategy().with_callback(deterministic(0.02)).with_callback(Recorder(records.clone()));
    let strategy =
        if keep { strategy.with_state_folder(folder.join("checkpoint")) } else { strategy };
    let outcome = strategy.outcome();
    let training = training(folder, Some(2)).num_epochs(epochs).with_default_checkpointers();
    let training = match from {
        Some(epoch) => training.checkpoint(epoch),
        None => training,
    };
    let result = training.with_training_strategy(strategy.into()).launch(learner());
    let losses = records.borrow().iter().map(|record| record.get("eval_loss").unwrap()).collect();
    (outcome, losses, result)
}

#[test]
fn a_training_that_goes_on_from_a_checkpoint_stops_where_the_whole_one_does() {
    let whole = tempfile::tempdir().unwrap();
    let (outcome, losses, result) = run(whole.path(), 12, None, true);
    let stop = outcome.stop().unwrap();
    assert!(matches!(stop, StopReason::Dvar { step, .. } if step > 14), "{stop}");
    for epochs in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let (part, first, _) = run(folder.path(), epochs, None, true);
        assert_eq!(part.stop(), Some(StopReason::MaxSteps { steps: part.steps() }));
        let (rest, second, resumed) = run(folder.path(), 12, Some(epochs), true);
        assert!(resumed.error.is_none());
        assert_eq!([first, second].concat(), losses, "{epochs} epochs first");
        assert_eq!(rest.stop(), Some(stop.clone()), "{epochs} epochs first");
        assert_eq!(rest.steps(), outcome.steps());
        assert_eq!(resumed.model.weights(), result.model.weights());
    }
}

#[test]
fn a_missing_or_broken_state_ends_the_resumed_training_before_its_first_step() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, None, true);
    let state = folder.path().join("checkpoint/callbacks-2.json");
    std::fs::write(&state, "{\"step\":14,\"callbacks\":{}}").unwrap();
    let (outcome, losses, result) = run(folder.path(), 12, Some(2), true);
    let words = result.error.unwrap().to_string();
    assert!(words.contains("lacks `deterministic-eval`; go on with the callbacks"), "{words}");
    assert!(losses.is_empty() && outcome.stop().is_none());
    std::fs::remove_file(&state).unwrap();
    let (outcome, losses, result) = run(folder.path(), 12, Some(2), true);
    assert!(result.error.unwrap().to_string().contains("callbacks-2.json"));
    assert!(losses.is_empty());
    let error = outcome.error().unwrap();
    let TrainError::State(source) = &*error else { panic!("{error:?}") };
    assert_eq!(source.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
}

/// Looks for the callbacks' state when burn asks what to keep.
struct StateIsThere(PathBuf);

impl CheckpointingStrategy for StateIsThere {
    fn checkpointing(&mut self, epoch: usize, _: &EventStoreClient) -> Vec<CheckpointingAction> {
        let state = self.0.join(format!("callbacks-{epoch}.json"));
        assert!(state.is_file(), "{}", state.display());
        vec![CheckpointingAction::Save]
    }
}

/// A run that is killed between the two could not go on from a checkpoint without its state.
#[test]
fn the_state_is_written_before_the_checkpoint_that_it_belongs_to() {
    let folder = tempfile::tempdir().unwrap();
    let strategy = strategy().with_callback(deterministic(0.0)).with_state_folder(folder.path());
    let result = training(folder.path(), None)
        .num_epochs(2)
        .with_default_checkpointers()
        .with_checkpointing_strategy(StateIsThere(folder.path().into()))
        .with_training_strategy(strategy.into())
        .launch(learner());
    assert!(result.error.is_none());
    assert!(folder.path().join("checkpoint/model-2.bpk").is_file());
}

#[test]
fn a_state_that_cannot_be_written_is_not_told_as_one_that_cannot_be_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "a file").unwrap();
    let strategy = strategy().with_callback(deterministic(0.0)).with_state_folder(taken);
    let training = training(folder.path(), None).with_default_checkpointers();
    let result = training.with_training_strategy(strategy.into()).launch(learner());
    let words = result.error.unwrap().to_string();
    assert!(words.contains("cannot write") && words.contains("callbacks-1.json"), "{words}");
    assert!(!words.contains("cannot resume"), "{words}");
}

#[test]
fn without_a_folder_for_their_state_callbacks_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, None, false);
    let (outcome, _, result) = run(folder.path(), 3, Some(2), false);
    assert!(result.error.is_none());
    assert_eq!(outcome.steps(), 7);
}
