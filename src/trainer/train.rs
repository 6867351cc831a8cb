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
    /// The last vectors whose losses were finite: what is left after an error.
    last_good: Tensor<2>,
    optimizer: AdamW<2>,
    step: usize,
    fingerprint: u64,
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
        let last_good = concept.vectors();
        let optimizer = AdamW::new(config.adamw, &last_good);
        Self { config, objective, draws, concept, last_good, optimizer, step: 0, fingerprint: 0 }
    }

    /// Marks saved states with the run's options and data, so that no other run resumes them.
    #[must_use]
    pub fn with_fingerprint(self, fingerprint: u64) -> Self {
        Self { fingerprint, ..self }
    }

    /// The concept as it is now; after an error, the last one whose losses were finite.
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
            let step = self.train_step(callbacks).await;
            let mut stop = step.inspect_err(|_| self.concept.set(self.last_good.clone()))?;
            if self.step == self.config.max_train_steps
                && matches!(stop, None | Some(StopReason::Interrupted { .. }))
            {
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
        self.last_good = self.concept.vectors();
        let learning_rate = self.config.lr_schedule.at(self.step);
        record.set("lr", learning_rate);
        self.concept.set(self.optimizer.update(self.concept.vectors(), gradient, learning_rate));
        let distance = read(self.concept.distance()).await?[0].into();
        finite("distance from the initial vectors", distance, self.step)?;
        record.set("embedding_distance", distance);
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
        finite("training loss", loss, self.step)?;
        finite("gradient", norm, self.step)?;
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
            fingerprint: self.fingerprint,
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
        if state.fingerprint != self.fingerprint {
            let message = "the options or the pictures are not those that the run began with; \
                           put them back, or start a new run";
            return Err(TrainError::State(message.into()));
        }
        let device = self.objective.device();
        let [vectors, exp_avg, exp_avg_sq] = state
            .tensors
            .each_ref()
            .map(|values| Tensor::from_data(TensorData::new(values.clone(), shape), &device));
        self.last_good = vectors.clone();
        self.concept.set(vectors);
        self.optimizer.exp_avg = exp_avg;
        self.optimizer.exp_avg_sq = exp_avg_sq;
        self.optimizer.step = state.step;
        self.step = state.step;
        for callback in callbacks.iter_mut() {
            match state.callbacks.get(callback.name()) {
                Some(saved) => callback.restore(saved.clone())?,
                None if callback.save().is_none() => {}
                None => {
                    let message = format!("the saved state lacks `{}`", callback.name());
                    return Err(TrainError::State(message));
                }
            }
        }
        Ok(())
    }
}

fn finite(what: &'static str, value: f64, step: usize) -> Result<(), TrainError> {
    if value.is_finite() { Ok(()) } else { Err(TrainError::NonFinite { what, value, step }) }
}

fn keep_first(stop: &mut Option<StopReason>, control: Control) {
    if let Control::Stop(reason) = control {
        stop.get_or_insert(reason);
    }
}
