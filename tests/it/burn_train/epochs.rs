//! The criteria between burn's epochs, and figures on its dashboard.

use burn::{
    tensor::Device,
    train::{
        ExecutionStrategy, LearningResult, MultiDeviceOptim, SupervisedTraining,
        metric::{LossMetric, store::Split},
    },
};
use dvar::{
    burn_train::{EpochEarlyStopping, FigureMetric},
    callbacks::DeterministicEval,
    early_stopping::{Control, Dvar},
};

use super::model::{EPOCHS, Line, deterministic, fixed_batch, learner, strategy, training};

/// The numbers of a metric's log of an epoch.
fn logged(folder: &std::path::Path, split: &str, epoch: usize, metric: &str) -> Vec<f64> {
    let path = folder.join(format!("{split}/epoch-{epoch}/{metric}.log"));
    // burn writes on threads of its own, which may outlive the training
    let whole = || std::fs::read_to_string(&path).ok().filter(|text| text.ends_with("final\n"));
    let wait = |_| {
        whole().or_else(|| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            None
        })
    };
    let text = (0..1000).find_map(wait).unwrap_or_else(|| panic!("{}", path.display()));
    let value = |line: &str| line.split(',').next().unwrap().parse().ok();
    text.lines().filter_map(value).collect()
}

fn stopped_by_epochs(split: Split, folder: &std::path::Path) -> LearningResult<Line> {
    launch_with(split, training(folder, None))
}

fn launch_with(split: Split, training: SupervisedTraining<Line>) -> LearningResult<Line> {
    let training = training.metric_valid_numeric(LossMetric::new());
    let interrupter = training.interrupter();
    let dvar = Dvar::new(3, 0.3).unwrap();
    let stopping = EpochEarlyStopping::new(&LossMetric::new(), split, dvar, interrupter);
    training.early_stopping(stopping).launch(learner())
}

#[test]
fn an_epoch_is_an_evaluation_of_a_split() {
    let folder = tempfile::tempdir().unwrap();
    stopped_where_the_logs_say(stopped_by_epochs(Split::Valid, folder.path()), folder.path());
}

#[test]
fn an_epoch_on_several_devices_is_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let devices = vec![Device::flex(), Device::flex()];
    let several = ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice);
    let training = training(folder.path(), None).with_training_strategy(several.into());
    stopped_where_the_logs_say(launch_with(Split::Valid, training), folder.path());
}

fn stopped_where_the_logs_say(result: LearningResult<Line>, folder: &std::path::Path) {
    let words = result.interrupted.unwrap().reason.unwrap();
    let mut dvar = Dvar::new(3, 0.3).unwrap();
    let stop = (1..=EPOCHS).find(|epoch| {
        let losses = logged(folder, "valid", *epoch, "Loss");
        // the last line is the epoch's own mean, over items rather than batches
        dvar.update(*losses.last().unwrap()).unwrap() != Control::Continue
    });
    let stop = stop.expect("a stop before the last epoch");
    assert!(words.starts_with(&format!("DVAR stopped after {stop} epochs: ")), "{words}");
}

#[test]
fn a_training_that_goes_on_stops_after_the_epoch_that_the_whole_one_does() {
    let [whole, parts] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let begin =
        |folder: &tempfile::TempDir| training(folder.path(), None).with_default_checkpointers();
    let reason = |training: SupervisedTraining<Line>| {
        let result = launch_with(Split::Valid, training);
        assert!(result.error.is_none());
        result.interrupted.and_then(|interruption| interruption.reason)
    };
    let stop = reason(begin(&whole)).expect("a stop before the last epoch");
    assert_eq!(reason(begin(&parts).num_epochs(2)), None);
    assert_eq!(reason(begin(&parts).checkpoint(2)), Some(stop));
}

#[test]
fn a_metric_that_is_not_there_ends_the_run_as_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let words = stopped_by_epochs(Split::Train, folder.path()).error.unwrap().to_string();
    assert!(words.contains("no metric `Loss` for `train`"), "{words}");
}

#[test]
fn figures_of_callbacks_reach_burn_s_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let strategy = strategy().with_callback(deterministic(0.0));
    let figures = strategy.figures();
    let training = training(folder.path(), None)
        .num_epochs(2)
        .metric_train_numeric(FigureMetric::dvar_ratio(&figures))
        .metric_train_numeric(FigureMetric::eval_loss(&figures))
        .metric_train_numeric(FigureMetric::clip_score(&figures));
    training.with_training_strategy(strategy.into()).launch(learner());
    let ratios = logged(folder.path(), "train", 2, "DVAR_Ratio");
    assert!(!ratios.is_empty() && ratios.iter().all(|ratio| (0.0..1.5).contains(ratio)));
    assert_eq!(ratios.first().map(|ratio| *ratio < 1.0), Some(true), "{ratios:?}");
    assert!(!logged(folder.path(), "train", 1, "Deterministic_Loss").is_empty());
}

#[test]
fn an_evaluation_without_a_criterion_only_records() {
    let folder = tempfile::tempdir().unwrap();
    let eval = DeterministicEval::new(fixed_batch(), Line::loss);
    let strategy = strategy().with_callback(eval);
    let result =
        training(folder.path(), None).with_training_strategy(strategy.into()).launch(learner());
    assert!(result.interrupted.is_none() && result.error.is_none());
}
