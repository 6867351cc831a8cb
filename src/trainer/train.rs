//! The loop: gradient, evaluation, update.

use burn::tensor::{Tensor, TensorData};

use super::{
    Callback, Concept, Record, StepContext, TrainError, TrainState, textual_inversion::read,
};
use crate::{
    early_stopping::{Control, StopReason},
    objective::{DiffusionObjective, DrawSource},
    optim::{AdamW, AdamWConfig, LrSchedule},
};

/// What the loop itself must know; everything else belongs to its parts or to callbacks.
#[derive(Clone, Debug)]
pub struct TrainerConfig {
    /// Updates at most.
    pub max_train_steps: usize,
    /// Micro-batches whose gradients are averaged for one update.
    pub gradient_accumulation_steps: usize,
    /// Learning rate of each update.
    pub lr_schedule: LrSchedule,
    /// The optimiser's settings.
    pub adamw: AdamWConfig,
}

/// Trains a concept's vectors through frozen networks.
pub struct Trainer<'a> {
    config: TrainerConfig,
    objective: &'a DiffusionObjective,
    draws: &'a dyn DrawSource,
    concept: Concept,
    optimizer: AdamW<2>,
    step: usize,
}

/// Loss and gradient of one step, before the update.
struct Gradient {
    loss: f64,
    norm: f64,
    /// `[num_vectors, width]`, plain.
    gradient: Tensor<2>,
}

impl<'a> Trainer<'a> {
    /// A run at its start.
    pub fn new(
        config: TrainerConfig,
        objective: &'a DiffusionObjective,
        draws: &'a dyn DrawSource,
        concept: Concept,
    ) -> Self {
        let optimizer = AdamW::new(config.adamw, &concept.vectors());
        Self { config, objective, draws, concept, optimizer, step: 0 }
    }

    /// The concept as it is now; after an error, as it was before the step that failed.
    pub fn concept(&self) -> &Concept {
        &self.concept
    }

    /// Updates made so far.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Trains until a callback stops the run or `max_train_steps` is reached.
    ///
    /// The order within a step is the reference's (see [`Callback`]): a criterion judges the
    /// vectors before the update, and a stop comes after the update of its step.
    ///
    /// # Errors
    ///
    /// [`TrainError`] where the loss is no longer finite, the device fails, or a callback does.
    pub async fn train(
        &mut self,
        callbacks: &mut [Box<dyn Callback<Concept> + '_>],
    ) -> Result<StopReason, TrainError> {
        loop {
            if self.step >= self.config.max_train_steps {
                return Ok(StopReason::MaxSteps { steps: self.step });
            }
            let mut stop = self.train_step(callbacks).await?;
            if self.step == self.config.max_train_steps && stop.is_none() {
                stop = Some(StopReason::MaxSteps { steps: self.step });
            }
            self.share_state(callbacks, stop.as_ref()).await?;
            if let Some(reason) = stop {
                return Ok(reason);
            }
        }
    }

    async fn train_step(
        &mut self,
        callbacks: &mut [Box<dyn Callback<Concept> + '_>],
    ) -> Result<Option<StopReason>, TrainError> {
        let mut record = Record::new(self.step);
        let mut stop = None;
        let Gradient { loss, norm, gradient } = self.gradient().await?;
        record.set("loss", loss);
        record.set("grad_norm", norm);
        for callback in callbacks.iter_mut() {
            let step = StepContext { model: &self.concept, record: &mut record };
            keep_first(&mut stop, callback.before_update(step).await?);
        }
        let learning_rate = self.config.lr_schedule.at(self.step);
        record.set("lr", learning_rate);
        self.concept.set(self.optimizer.update(self.concept.vectors(), gradient, learning_rate));
        record.set("embedding_distance", read(self.concept.distance()).await?[0].into());
        for callback in callbacks.iter_mut() {
            let step = StepContext { model: &self.concept, record: &mut record };
            keep_first(&mut stop, callback.after_update(step).await?);
        }
        self.step += 1;
        Ok(stop)
    }

    /// The mean gradient over the step's micro-batches.
    async fn gradient(&self) -> Result<Gradient, TrainError> {
        let micro_batches = self.config.gradient_accumulation_steps;
        let (mut losses, mut gradient) = (Vec::new(), None);
        for micro in 0..micro_batches {
            let draws = self.draws.draw(self.step * micro_batches + micro);
            let batch = self.objective.batch(&draws);
            let loss = self.objective.loss(self.concept.tracked(), &batch);
            let share = self.concept.tracked().grad(&loss.backward());
            let share = share.unwrap_or_else(|| self.concept.vectors().zeros_like());
            losses.push(loss.inner());
            gradient = Some(match gradient {
                Some(sum) => sum + share,
                None => share,
            });
        }
        let gradient = gradient.unwrap_or_else(|| self.concept.vectors().zeros_like());
        let gradient = gradient.div_scalar(micro_batches as f64);
        let loss = Tensor::cat(losses, 0).mean();
        let norm = gradient.clone().square().sum().sqrt();
        let figures = read(Tensor::cat(vec![loss, norm], 0)).await?;
        let (loss, norm) = (f64::from(figures[0]), f64::from(figures[1]));
        for (what, value) in [("training loss", loss), ("gradient", norm)] {
            if !value.is_finite() {
                return Err(TrainError::NonFinite { what, value, step: self.step });
            }
        }
        Ok(Gradient { loss, norm, gradient })
    }

    async fn share_state(
        &self,
        callbacks: &mut [Box<dyn Callback<Concept> + '_>],
        stop: Option<&StopReason>,
    ) -> Result<(), TrainError> {
        if !callbacks.iter().any(|callback| callback.wants_state(self.step, stop)) {
            return Ok(());
        }
        let saved = callbacks
            .iter()
            .filter_map(|callback| Some((callback.name().into(), callback.save()?)));
        let state = TrainState {
            step: self.step,
            stop: stop.copied(),
            callbacks: saved.collect(),
            shape: self.concept.vectors().dims(),
            tensors: [
                read(self.concept.vectors()).await?,
                read(self.optimizer.exp_avg.clone()).await?,
                read(self.optimizer.exp_avg_sq.clone()).await?,
            ],
        };
        for callback in callbacks.iter_mut() {
            if callback.wants_state(self.step, stop) {
                callback.on_state(&state).await?;
            }
        }
        Ok(())
    }

    /// Goes back to a saved state.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if it is of a concept of another shape, or a callback refuses it.
    pub fn restore(
        &mut self,
        state: &TrainState,
        callbacks: &mut [Box<dyn Callback<Concept> + '_>],
    ) -> Result<(), TrainError> {
        let shape = self.concept.vectors().dims();
        if state.shape != shape {
            let message =
                format!("the saved vectors are {:?}, this run's are {shape:?}", state.shape);
            return Err(TrainError::State(message));
        }
        let device = self.objective.device();
        let [vectors, exp_avg, exp_avg_sq] = state
            .tensors
            .each_ref()
            .map(|values| Tensor::from_data(TensorData::new(values.clone(), shape), &device));
        self.concept.set(vectors);
        self.optimizer.exp_avg = exp_avg;
        self.optimizer.exp_avg_sq = exp_avg_sq;
        self.optimizer.step = state.step;
        self.step = state.step;
        for callback in callbacks.iter_mut() {
            if let Some(saved) = state.callbacks.get(callback.name()) {
                callback.restore(saved.clone())?;
            }
        }
        Ok(())
    }
}

fn keep_first(stop: &mut Option<StopReason>, control: Control) {
    if let Control::Stop(reason) = control {
        stop.get_or_insert(reason);
    }
}
