//! One run of the strategy: burn's events and checkpoints around the steps.

use std::{
    any::Any,
    cell::{RefCell, RefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::{
    data::dataloader::{DataLoader, Progress},
    optim::{GradientsAccumulator, GradientsParams},
    tensor::Tensor,
    train::{
        EventProcessorTraining, InferenceStep, Learner, LearnerEvent, LearnerModel,
        SupervisedTrainingEventProcessor, TrainStep, TrainingComponents, TrainingItem,
    },
};

use super::{Figures, Outcome, epoch_early_stopping::failure};
use crate::{
    Callback, DeviceError, Record, RunState, TrainError, callback_runner,
    early_stopping::StopReason, files::write_atomic,
};

/// Reads the loss out of what a training step gives.
type Loss<M> = Box<dyn Fn(&<M as TrainStep>::Output) -> Tensor<1>>;

/// What a strategy was given for its runs, and what it tells of them.
pub(super) struct Settings<M: LearnerModel> {
    pub callbacks: RefCell<Vec<Box<dyn Callback<M>>>>,
    pub loss: Option<Loss<M>>,
    pub state_folder: Option<PathBuf>,
    pub outcome: Outcome,
    pub figures: Figures,
}

impl<M: LearnerModel> Default for Settings<M> {
    fn default() -> Self {
        Self {
            callbacks: RefCell::default(),
            loss: None,
            state_folder: None,
            outcome: Outcome::default(),
            figures: Figures::default(),
        }
    }
}

pub(super) struct Run<'a, M: LearnerModel> {
    settings: &'a Settings<M>,
    callbacks: RefMut<'a, Vec<Box<dyn Callback<M>>>>,
    components: TrainingComponents<M>,
    learner: Learner<M>,
    /// Updates made, with those before a resumed checkpoint where their number was kept.
    step: usize,
    stop: Option<StopReason>,
    /// Whether burn's early stopping ended the run between two epochs.
    stopped_early: bool,
}

impl<'a, M: LearnerModel> Run<'a, M> {
    pub(super) fn new(
        settings: &'a Settings<M>,
        components: TrainingComponents<M>,
        learner: Learner<M>,
    ) -> Self {
        let callbacks = settings.callbacks.borrow_mut();
        Self { settings, callbacks, components, learner, step: 0, stop: None, stopped_early: false }
    }

    pub(super) fn fit(
        mut self,
        train: &dyn DataLoader<<M as TrainStep>::Input>,
        valid: &dyn DataLoader<<M as InferenceStep>::Input>,
        starting_epoch: usize,
    ) -> (M, SupervisedTrainingEventProcessor<M>) {
        let begun = callback_runner::check_names(&self.callbacks)
            .and_then(|()| self.restore(starting_epoch));
        self.fail_on_error(begun);
        for epoch in starting_epoch..=self.components.num_epochs {
            if self.components.interrupter.should_stop() || self.epoch(epoch, train, valid) {
                break;
            }
        }
        self.end();
        (self.learner.model(), self.components.event_processor)
    }

    /// Whether the run ends with this epoch.
    fn epoch(
        &mut self,
        epoch: usize,
        train: &dyn DataLoader<<M as TrainStep>::Input>,
        valid: &dyn DataLoader<<M as InferenceStep>::Input>,
    ) -> bool {
        self.send_train(start_split(epoch, train.num_items()));
        self.train_epoch(train);
        self.send_train(LearnerEvent::EndSplit(epoch));
        if self.components.interrupter.should_stop() {
            return true;
        }
        self.send_valid(start_split(epoch, valid.num_items()));
        self.valid_epoch(valid);
        self.send_valid(LearnerEvent::EndSplit(epoch));
        self.send_train(LearnerEvent::EndEpoch(epoch));
        let TrainingComponents {
            checkpointer, early_stopping, interrupter, event_processor, ..
        } = &mut self.components;
        if checkpointer.is_some() || early_stopping.is_some() {
            interrupter.fail_on_error(event_processor.flush());
        }
        if interrupter.should_stop() {
            return true;
        }
        if checkpointer.is_some() {
            // before burn's: a run that is killed in between has no checkpoint without its state
            let saved = self.save(epoch);
            self.fail_on_error(saved);
        }
        let TrainingComponents { checkpointer, early_stopping, event_store, .. } =
            &mut self.components;
        if let Some(checkpointer) = checkpointer {
            checkpointer.checkpoint(&self.learner, epoch, event_store);
        }
        self.stopped_early =
            early_stopping.as_mut().is_some_and(|e| e.should_stop(epoch, event_store));
        self.stopped_early
    }

    fn train_epoch(&mut self, loader: &dyn DataLoader<<M as TrainStep>::Input>) {
        let mut items = loader.iter();
        let mut accumulator = GradientsAccumulator::new();
        let mut losses = Vec::new();
        let mut iteration = 0;
        while let Some(item) = items.next() {
            let item = match item {
                Ok(item) => item,
                Err(error) => return self.components.interrupter.fail(error),
            };
            iteration += 1;
            let progress = items.progress();
            let output = self.learner.train_step(item);
            losses.extend(self.settings.loss.as_ref().map(|loss| loss(&output.item)));
            let update = match self.components.grad_accumulation {
                None => Some(output.grads),
                Some(batches) => {
                    accumulator.accumulate(&self.learner.model(), output.grads);
                    let whole = iteration % batches == 0 || progress.is_completed();
                    whole.then(|| accumulator.grads())
                }
            };
            if let Some(gradients) = update {
                let step = self.step(gradients, std::mem::take(&mut losses));
                self.fail_on_error(step);
            }
            self.send_train(processed(output.item, progress, iteration, Some(&self.learner)));
            if self.components.interrupter.should_stop() {
                return;
            }
        }
    }

    /// One update, and what the callbacks say to it.
    fn step(
        &mut self,
        gradients: GradientsParams,
        losses: Vec<Tensor<1>>,
    ) -> Result<(), TrainError> {
        let callbacks = &mut self.callbacks;
        if callbacks.is_empty() {
            self.learner.lr_step();
            self.learner.optimizer_step(gradients);
            self.step += 1;
            self.settings.outcome.set_steps(self.step);
            return Ok(());
        }
        let mut record = Record::new(self.step);
        let mut stops = Vec::new();
        let learner = &mut self.learner;
        guarded(async {
            if !losses.is_empty() {
                let losses = losses.into_iter().map(Tensor::without_autodiff).collect();
                let loss = Tensor::cat(losses, 0).mean().into_data_async().await;
                let loss = loss.map_err(DeviceError::new)?;
                record.set("loss", loss.iter::<f64>().next().unwrap_or(f64::NAN));
            }
            let before = learner.model();
            callback_runner::before_update(callbacks, &before, &mut record, &mut stops).await
        })?;
        learner.lr_step();
        record.set("lr", learner.lr_current().base());
        learner.optimizer_step(gradients);
        self.step += 1;
        let after = learner.model();
        guarded(callback_runner::after_update(callbacks, &after, &mut record, &mut stops))?;
        self.settings.figures.publish(&record);
        self.settings.outcome.set_steps(self.step);
        let stop = stops.into_iter().next();
        self.share(stop.as_ref())?;
        if let Some(reason) = stop {
            self.components.interrupter.stop(Some(&reason.to_string()));
            self.stop = Some(reason);
        }
        Ok(())
    }

    fn state(&self, stop: Option<&StopReason>) -> Result<RunState, TrainError> {
        let callbacks = callback_runner::save(&self.callbacks)?;
        Ok(RunState { step: self.step, stop: stop.cloned(), callbacks })
    }

    fn share(&mut self, stop: Option<&StopReason>) -> Result<(), TrainError> {
        if !callback_runner::wanted(&self.callbacks, self.step, stop) {
            return Ok(());
        }
        let state = self.state(stop)?;
        guarded(callback_runner::share(&mut self.callbacks, self.step, stop, &state))
    }

    fn valid_epoch(&mut self, loader: &dyn DataLoader<<M as InferenceStep>::Input>) {
        let model = self.learner.model().valid();
        let mut items = loader.iter();
        let mut iteration = 0;
        while let Some(item) = items.next() {
            let item = match item {
                Ok(item) => item,
                Err(error) => return self.components.interrupter.fail(error),
            };
            iteration += 1;
            let progress = items.progress();
            let output = InferenceStep::step(&model, item);
            self.send_valid(processed::<M, _>(output, progress, iteration, None));
            if self.components.interrupter.should_stop() {
                return;
            }
        }
    }

    /// Says how the run ended, where no callback ended it.
    fn end(&mut self) {
        let interrupter = &self.components.interrupter;
        let outcome = &self.settings.outcome;
        outcome.set_steps(self.step);
        if self.stop.is_none() && interrupter.error().is_none() {
            let stop = if self.stopped_early {
                // this crate's says why, burn's own does not; `get_message` may still hold what ended an
                // earlier training
                let said = interrupter.interruption().and_then(|interruption| interruption.reason);
                StopReason::Other {
                    criterion: "early stopping between epochs".into(),
                    step: self.step.saturating_sub(1),
                    text: said.unwrap_or_else(|| "a metric met its condition".into()),
                    figures: Default::default(),
                }
            } else if interrupter.should_stop() {
                StopReason::Interrupted { steps: self.step }
            } else {
                StopReason::MaxSteps { steps: self.step }
            };
            let shared = self.share(Some(&stop));
            self.stop = Some(stop);
            self.fail_on_error(shared);
        }
        if let Some(stop) = self.stop.take()
            && self.components.interrupter.error().is_none()
        {
            self.settings.outcome.set_stop(stop);
        }
    }

    fn state_file(&self, epoch: usize) -> Option<PathBuf> {
        let folder = self.settings.state_folder.as_ref()?;
        Some(folder.join(format!("callbacks-{epoch}.json")))
    }

    fn save(&self, epoch: usize) -> Result<(), TrainError> {
        let Some(path) = self.state_file(epoch) else { return Ok(()) };
        let saved = self.state(None)?;
        let failed =
            |error| TrainError::callback("state of the callbacks", at(&path, "write", error));
        let json = serde_json::to_vec(&saved).map_err(|error| failed(error.into()))?;
        // burn makes only the folder of its own checkpoints
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        write_atomic(&path, &json).map_err(failed)
    }

    /// Goes back to where the epoch before `starting_epoch` ended, if that is not the beginning.
    fn restore(&mut self, starting_epoch: usize) -> Result<(), TrainError> {
        let resumed = self.components.checkpoint.is_some();
        let Some(path) = self.state_file(starting_epoch - 1).filter(|_| resumed) else {
            return Ok(());
        };
        let failed = |error| TrainError::state(at(&path, "read", error));
        let json = std::fs::read(&path).map_err(failed)?;
        let saved: RunState =
            serde_json::from_slice(&json).map_err(|error| failed(error.into()))?;
        self.step = saved.step;
        callback_runner::restore(&mut self.callbacks, &saved.callbacks)
    }

    fn fail_on_error(&mut self, result: Result<(), TrainError>) {
        if let Err(error) = result {
            self.components.interrupter.fail(failure(error.to_string()));
            self.settings.outcome.set_error(Arc::new(error));
        }
    }

    fn send_train(&mut self, event: LearnerEvent<<M as TrainStep>::Output>) {
        let sent = self.components.event_processor.process_train(event);
        self.components.interrupter.fail_on_error(sent);
    }

    fn send_valid(&mut self, event: LearnerEvent<<M as InferenceStep>::Output>) {
        let sent = self.components.event_processor.process_valid(event);
        self.components.interrupter.fail_on_error(sent);
    }
}

fn start_split<T>(epoch_number: usize, total_items: usize) -> LearnerEvent<T> {
    LearnerEvent::StartSplit { epoch_number, total_items }
}

fn processed<M: LearnerModel, T>(
    item: T,
    progress: Progress,
    iteration: usize,
    learner: Option<&Learner<M>>,
) -> LearnerEvent<T> {
    let lr = learner.map(Learner::lr_current);
    LearnerEvent::ProcessedItem(TrainingItem::new(item, progress, Some(iteration), lr))
}

/// Waits for callbacks; a panic of theirs is an error of theirs.
fn guarded<T>(work: impl Future<Output = Result<T, TrainError>>) -> Result<T, TrainError> {
    // a run does not go on after an error, so that nobody sees what a panic left half done
    let done = catch_unwind(AssertUnwindSafe(|| pollster::block_on(work)));
    done.unwrap_or_else(|panic| Err(TrainError::callback("a callback panicked", words(&*panic))))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// The same error with the path in its words.
fn at(path: &Path, verb: &str, error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("cannot {verb} `{}`: {error}", path.display()))
}
