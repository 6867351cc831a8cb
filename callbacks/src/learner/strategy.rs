//! A training loop for burn's `Learner` that callbacks take part in.

use std::{fmt, path::PathBuf, sync::Arc};

use burn::{
    tensor::{Device, Tensor},
    train::{
        Learner, LearnerModel, SupervisedLearningStrategy, SupervisedTrainingEventProcessor,
        TrainLoader, TrainStep, TrainingComponents, TrainingStrategy, ValidLoader,
    },
};

use super::{
    Figures, Outcome,
    run::{Run, Settings},
};
use crate::Callback;

/// Training on one device, as burn's own strategy does it, with callbacks that see the model before
/// and after every optimizer step.
///
/// - A stop comes after the update of the step that a callback stopped at, as in every
///   loop; the same losses stop at the same step. The reason reaches
///   `LearningResult::interrupted` in words and [`Outcome::stop`] as a value. As after any
///   interruption in burn, neither validation nor checkpoint of that epoch follows: the model is
///   `LearningResult::model`.
/// - A callback's error or panic ends the run as `LearningResult::error`, which burn words as the
///   failure of a worker, and as [`Outcome::error`], which has the error itself.
/// - With gradient accumulation a step is an update, not a batch.
/// - A strategy is for one training: its callbacks keep what they have seen.
/// - Gradient checkpointing is asked of the device that is given to [`new`](Self::new), because
///   burn does not tell a strategy of its builder's setting.
pub struct StepwiseLearningStrategy<M: LearnerModel> {
    device: Device,
    settings: Settings<M>,
}

impl<M: LearnerModel> fmt::Debug for StepwiseLearningStrategy<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepwiseLearningStrategy")
            .field("device", &self.device)
            .field("state_folder", &self.settings.state_folder)
            .field("outcome", &self.settings.outcome)
            .finish_non_exhaustive()
    }
}

impl<M: LearnerModel> StepwiseLearningStrategy<M> {
    /// Trains on `device`, with autodiff whether or not it is on there. Without callbacks it does
    /// what burn's own strategy for one device does.
    pub fn new(device: Device) -> Self {
        let device = if device.is_autodiff() { device } else { device.autodiff() };
        Self { device, settings: Settings::default() }
    }

    /// Adds a callback. They are asked in the order in which they were added; the first stop
    /// counts.
    #[must_use]
    pub fn with_callback(mut self, callback: impl Callback<M> + 'static) -> Self {
        self.settings.callbacks.get_mut().push(Box::new(callback));
        self
    }

    /// Records the training loss of each step as `loss`, for callbacks that log or plot it: the
    /// mean over the step's batches of what `loss` reads out of their outputs, `[1]`. It costs one
    /// read from the device at each step.
    #[must_use]
    pub fn with_loss(
        mut self,
        loss: impl Fn(&<M as TrainStep>::Output) -> Tensor<1> + 'static,
    ) -> Self {
        self.settings.loss = Some(Box::new(loss));
        self
    }

    /// Keeps what the callbacks must know to go on in `folder/callbacks-EPOCH.json`, beside burn's
    /// checkpoints, and takes it back when the training goes on from one. Without it the callbacks
    /// of a resumed training, and the count of its steps, begin anew. A file is some kilobytes, for
    /// each epoch one; they stay when burn deletes a checkpoint, of which it does not tell. It holds a
    /// [`RunState`](crate::RunState), whose `step` is where a log of the steps goes on.
    #[must_use]
    pub fn with_state_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.state_folder = Some(folder.into());
        self
    }

    /// How the run ends, readable after it.
    pub fn outcome(&self) -> Outcome {
        self.settings.outcome.clone()
    }

    /// The figures that the callbacks record, for burn's dashboard.
    pub fn figures(&self) -> Figures {
        self.settings.figures.clone()
    }
}

impl<M: LearnerModel> From<StepwiseLearningStrategy<M>> for TrainingStrategy<M> {
    #[allow(clippy::arc_with_non_send_sync)] // burn wants an `Arc` and never sends it
    fn from(strategy: StepwiseLearningStrategy<M>) -> Self {
        Self::Custom(Arc::new(strategy))
    }
}

impl<M: LearnerModel> SupervisedLearningStrategy<M> for StepwiseLearningStrategy<M> {
    fn fit(
        &self,
        components: TrainingComponents<M>,
        mut learner: Learner<M>,
        train: TrainLoader<M>,
        valid: ValidLoader<M>,
        starting_epoch: usize,
    ) -> (M, SupervisedTrainingEventProcessor<M>) {
        learner.fork(&self.device);
        let train = train.to_device(&self.device);
        let valid = valid.to_device(&self.device.clone().inner());
        Run::new(&self.settings, components, learner).fit(&*train, &*valid, starting_epoch)
    }
}
