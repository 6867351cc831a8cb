//! The loop: gradient, evaluation, update.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{
    Callback, Part, Quantity, Record, Replicas, Task, TrainError, TrainState, callback_runner,
};
use crate::{
    concept::{Concept, HostTensor},
    early_stopping::StopReason,
    objective::{DiffusionObjective, DrawSource},
    optim::{LossScaler, LrSchedule, Optimizer, OptimizerConfig},
    tensor::{read, total},
};

/// What the loop itself must know; everything else belongs to its parts or to callbacks.
#[derive(Clone, Debug)]
pub struct TrainerConfig {
    /// Steps at most; each makes one update, unless `loss_scaling` skips it.
    pub max_train_steps: usize,
    /// Steps in which no callback ends the run, but the user may.
    pub min_train_steps: usize,
    /// Micro-batches whose gradients are averaged for one update.
    pub gradient_accumulation_steps: usize,
    /// Learning rate of each update.
    pub lr_schedule: LrSchedule,
    /// The optimiser's settings.
    pub optimizer: Arc<dyn OptimizerConfig>,
    /// The gradient's length is cut to this, over all parameters together.
    pub max_grad_norm: Option<f64>,
    /// Whether the loss is scaled, which gradients in f16 need; steps whose gradient is not finite
    /// are then skipped.
    pub loss_scaling: bool,
}

impl TrainerConfig {
    /// Why a saved run is over; none if there is more to do: it was interrupted, or it is to go on
    /// beyond its end.
    pub fn end_of(&self, state: &TrainState) -> Option<StopReason> {
        let stop = state.stop.clone().filter(|stop| self.may_end(stop, state.step))?;
        (!matches!(stop, StopReason::Interrupted { .. })).then_some(stop)
    }

    /// Whether what a callback says can end the run.
    pub fn callbacks_can_end(&self) -> bool {
        self.min_train_steps < self.max_train_steps
    }

    /// Whether this may end a run in the last of so many steps.
    fn may_end(&self, stop: &StopReason, steps: usize) -> bool {
        matches!(stop, StopReason::Interrupted { .. }) || steps > self.min_train_steps
    }
}

/// Trains a concept through frozen networks.
pub struct Trainer<'a> {
    config: TrainerConfig,
    objective: &'a DiffusionObjective,
    draws: &'a dyn DrawSource,
    /// Where each batch is shared out, who computes it.
    replicas: Option<&'a dyn Replicas>,
    concept: Concept,
    /// The last parameters whose losses were finite: what is left after an error.
    last_good: Vec<Tensor<2>>,
    optimizer: Box<dyn Optimizer>,
    loss_scaler: Option<LossScaler>,
    step: usize,
    fingerprint: u64,
}

/// Loss and gradient of one step, before the update.
struct Gradient {
    loss: f64,
    /// Over all parameters, before any cut. Not finite if the scaled loss' gradient was not.
    norm: f64,
    /// In the parameters' order and shapes, plain.
    gradients: Vec<Tensor<2>>,
}

impl<'a> Trainer<'a> {
    /// A run at its start.
    pub fn new(
        config: TrainerConfig,
        objective: &'a DiffusionObjective,
        draws: &'a dyn DrawSource,
        concept: Concept,
    ) -> Self {
        let last_good = concept.values();
        let optimizer = config.optimizer.init(&last_good);
        let loss_scaler = config.loss_scaling.then(LossScaler::default);
        Self {
            config,
            objective,
            draws,
            replicas: None,
            concept,
            last_good,
            optimizer,
            loss_scaler,
            step: 0,
            fingerprint: 0,
        }
    }

    /// Marks saved states with the run's options and data, so that no other run resumes them.
    #[must_use]
    pub fn with_fingerprint(self, fingerprint: u64) -> Self {
        Self { fingerprint, ..self }
    }

    /// Shares each batch out. The draws are then the replicas' own.
    #[must_use]
    pub fn with_replicas(self, replicas: Option<&'a dyn Replicas>) -> Self {
        Self { replicas, ..self }
    }

    /// The concept as it is now; after an error in a step, the last one whose losses were finite.
    pub fn concept(&self) -> &Concept {
        &self.concept
    }

    /// Steps made so far, with those that were skipped.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Updates made so far: a step whose gradient overflowed made none, and neither the learning
    /// rate nor the optimiser counts it.
    fn updates(&self) -> usize {
        let skipped = self.loss_scaler.as_ref().map_or(0, LossScaler::skipped);
        self.step.saturating_sub(skipped)
    }

    /// Trains until a callback stops the run or `max_train_steps` is reached.
    ///
    /// The order within a step is the reference's (see [`Callback`]): a criterion judges the
    /// parameters before the update, and a stop comes after the update of its step.
    ///
    /// # Errors
    ///
    /// [`TrainError`] where the loss is no longer finite, the device fails, or a callback does.
    pub async fn train(
        &mut self,
        callbacks: &mut [Box<dyn Callback<Concept, TrainState> + '_>],
    ) -> Result<StopReason, TrainError> {
        callback_runner::check_names(callbacks)?;
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

    /// The first stop that may end the run, where one came.
    async fn train_step(
        &mut self,
        callbacks: &mut [Box<dyn Callback<Concept, TrainState> + '_>],
    ) -> Result<Option<StopReason>, TrainError> {
        let mut record = Record::new(self.step);
        let mut stops = Vec::new();
        let Gradient { loss, norm, gradients } = self.gradient().await?;
        record.set("loss", loss);
        if norm.is_finite() {
            record.set("grad_norm", norm);
        }
        callback_runner::before_update(callbacks, &self.concept, &mut record, &mut stops).await?;
        self.last_good = self.concept.values();
        let learning_rate = self.config.lr_schedule.at(self.updates());
        record.set("lr", learning_rate);
        let updated = norm.is_finite() && self.update(gradients, norm, learning_rate).await?;
        if let Some(scaler) = &mut self.loss_scaler {
            record.set("loss_scale", scaler.scale());
            record.set("skipped", if updated { 0.0 } else { 1.0 });
            scaler.update(updated);
        }
        let distance = read(self.concept.distance()).await?[0].into();
        finite(Quantity::Distance, distance, self.step)?;
        record.set("embedding_distance", distance);
        callback_runner::after_update(callbacks, &self.concept, &mut record, &mut stops).await?;
        self.step += 1;
        // one that comes too early must not hide that the user asks for the end
        Ok(stops.into_iter().find(|stop| self.config.may_end(stop, self.step)))
    }

    /// Whether there was an update: SAM's second gradient may overflow too.
    async fn update(
        &mut self,
        gradients: Vec<Tensor<2>>,
        norm: f64,
        learning_rate: f64,
    ) -> Result<bool, TrainError> {
        let mut gradients = self.clipped(gradients, norm);
        // SAM: the gradient of the same inputs, taken again where the first one leads uphill
        if let Some(uphill) = self.optimizer.ascend(&self.last_good, &gradients) {
            self.concept.set(uphill);
            let second = self.gradient().await?;
            if !second.norm.is_finite() {
                self.concept.set(self.last_good.clone());
                return Ok(false);
            }
            gradients = self.clipped(second.gradients, second.norm);
        }
        let updated = self.optimizer.update(self.last_good.clone(), gradients, learning_rate);
        self.concept.update(updated);
        Ok(true)
    }

    /// As torch's `clip_grad_norm_`.
    fn clipped(&self, gradients: Vec<Tensor<2>>, norm: f64) -> Vec<Tensor<2>> {
        let share = self.config.max_grad_norm.map_or(1.0, |most| most / (norm + 1e-6));
        if share < 1.0 {
            gradients.into_iter().map(|gradient| gradient.mul_scalar(share)).collect()
        } else {
            gradients
        }
    }

    /// Computes the gradient of the next step and forgets it: nothing is changed.
    ///
    /// # Errors
    ///
    /// [`TrainError`] where the loss is not finite or the device fails, as for lack of memory.
    pub async fn try_gradient(&self) -> Result<(), TrainError> {
        self.gradient().await.map(drop)
    }

    /// The mean gradient over the step's micro-batches.
    async fn gradient(&self) -> Result<Gradient, TrainError> {
        let micro_batches = self.config.gradient_accumulation_steps;
        let scale = self.loss_scaler.as_ref().map(LossScaler::scale);
        let (mut losses, mut sums) = (Vec::new(), Vec::<Tensor<2>>::new());
        for micro in 0..micro_batches {
            let micro = self.step * micro_batches + micro;
            let (loss, gradients) = self.micro_batch(micro, scale).await?;
            losses.push(loss);
            for (i, gradient) in gradients.into_iter().enumerate() {
                match sums.get_mut(i) {
                    Some(sum) => *sum = sum.clone() + gradient,
                    None => sums.push(gradient),
                }
            }
        }
        let mean = |sum: Tensor<2>| match micro_batches {
            1 => sum,
            count => sum.div_scalar(count as f64),
        };
        let gradients: Vec<Tensor<2>> = sums.into_iter().map(mean).collect();
        let loss = Tensor::cat(losses, 0).mean();
        let squares = gradients.iter().map(|gradient| total(gradient.clone().square()));
        let norm = total(Tensor::cat(squares.collect(), 0)).sqrt();
        let figures = read(Tensor::cat(vec![loss, norm], 0)).await?;
        let (loss, norm) = (f64::from(figures[0]), f64::from(figures[1]));
        finite(Quantity::TrainingLoss, loss, self.step)?;
        if !self.loss_scaler.as_ref().is_some_and(LossScaler::may_overflow) {
            finite(Quantity::Gradient, norm, self.step)?;
        }
        Ok(Gradient { loss, norm, gradients })
    }

    /// The loss of a micro-batch, `[1]`, and its gradient for each parameter, both plain.
    async fn micro_batch(
        &self,
        micro_batch: usize,
        scale: Option<f64>,
    ) -> Result<(Tensor<1>, Vec<Tensor<2>>), TrainError> {
        let Some(replicas) = self.replicas else {
            let batch = self.objective.batch(&self.draws.draw(micro_batch));
            let loss = self.objective.loss(&self.concept.tracked(), &batch);
            let gradients = self.concept.gradient(&loss, scale);
            return Ok((loss.inner(), gradients));
        };
        let task = Task::Gradient { micro_batch, scale };
        let sum = Part::of_all(replicas, &self.concept, task).await?;
        let device = self.objective.device();
        let gradients = sum.gradients.iter().map(|gradient| gradient.to_device(&device));
        Ok((Tensor::from_floats(sum.losses.as_slice(), &device), gradients.collect()))
    }

    async fn share_state(
        &mut self,
        callbacks: &mut [Box<dyn Callback<Concept, TrainState> + '_>],
        stop: Option<&StopReason>,
    ) -> Result<(), TrainError> {
        if !callback_runner::wanted(callbacks, self.step, stop) {
            return Ok(());
        }
        let parameters = self.concept.read_parameters().await?;
        // saved, they would take the place of the last state that can be gone on from
        let mut values = parameters.iter().flat_map(|parameter| &parameter.values);
        if let Some(value) = values.find(|value| !value.is_finite()) {
            self.concept.set(self.last_good.clone());
            let (value, step) = (f64::from(*value), self.step - 1);
            return Err(TrainError::NonFinite { what: Quantity::Weight, value, step });
        }
        let (mut optimizer, memory) = (Vec::new(), self.optimizer.memory());
        for (i, parameter) in parameters.iter().enumerate() {
            for (slot, tensors) in &memory {
                let name = slot_name(&parameter.name, slot);
                optimizer.push(HostTensor::read(&name, tensors[i].clone()).await?);
            }
        }
        let state = TrainState {
            step: self.step,
            fingerprint: self.fingerprint,
            stop: stop.cloned(),
            callbacks: callback_runner::save(callbacks)?,
            parameters,
            optimizer,
            loss_scaler: self.loss_scaler.clone(),
        };
        callback_runner::share(callbacks, self.step, stop, &state).await
    }

    /// Goes back to a saved state.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if it is of other options or data, of another method or precision or a
    /// concept of another shape, or if a callback refuses it.
    pub fn restore(
        &mut self,
        state: &TrainState,
        callbacks: &mut [Box<dyn Callback<Concept, TrainState> + '_>],
    ) -> Result<(), TrainError> {
        state.check_fingerprint(self.fingerprint)?;
        if state.loss_scaler.is_some() != self.loss_scaler.is_some() {
            return Err(TrainError::state("the saved state is of another `mixed_precision`"));
        }
        if !self.fits(state) {
            return Err(TrainError::state("the saved tensors are not those of this run's method"));
        }
        let device = self.objective.device();
        let load = |tensor: &HostTensor| tensor.to_device(&device);
        let count = self.optimizer.memory().len();
        let slots = (0..count)
            .map(|slot| state.optimizer.iter().skip(slot).step_by(count).map(load).collect());
        self.step = state.step;
        self.loss_scaler = state.loss_scaler.clone();
        self.optimizer.restore(self.updates(), slots.collect());
        self.last_good = state.parameters.iter().map(load).collect();
        self.concept.set(self.last_good.clone());
        callback_runner::restore(callbacks, &state.callbacks)
    }

    /// Whether the saved tensors are named and shaped as the concept's parameters, and as what the
    /// optimiser remembers of each.
    fn fits(&self, state: &TrainState) -> bool {
        let (parameters, memory) = (self.concept.parameters(), self.optimizer.memory());
        if state.parameters.len() != parameters.len()
            || state.optimizer.len() != parameters.len() * memory.len()
        {
            return false;
        }
        let is = |saved: &HostTensor, name: &str, ours: &Tensor<2>| {
            saved.name == name && saved.shape == ours.dims()
        };
        let mut saved_slots = state.optimizer.iter();
        for (i, (saved, ours)) in state.parameters.iter().zip(parameters).enumerate() {
            if !is(saved, &ours.name, &ours.value()) {
                return false;
            }
            for ((slot, tensors), saved) in memory.iter().zip(&mut saved_slots) {
                if !is(saved, &slot_name(&ours.name, slot), &tensors[i]) {
                    return false;
                }
            }
        }
        true
    }
}

/// Name of what the optimiser remembers of a parameter, in a saved state.
fn slot_name(parameter: &str, slot: &str) -> String {
    format!("{parameter}/{slot}")
}

fn finite(what: Quantity, value: f64, step: usize) -> Result<(), TrainError> {
    if value.is_finite() { Ok(()) } else { Err(TrainError::NonFinite { what, value, step }) }
}
