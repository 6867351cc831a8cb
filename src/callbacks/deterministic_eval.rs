//! DVAR's evaluation as a callback for any model: a loss that depends on the model alone, and
//! the criterion that watches it.

use burn::tensor::Tensor;

use crate::{
    early_stopping::{Control, Dvar},
    trainer::{Callback, LocalBoxFuture, StepContext, TrainError},
};

/// Evaluates a fixed objective every `interval` steps, before the update, and stops when DVAR
/// says so. Sets `eval_loss`, its further parts, and `ratio` in the step's record.
pub struct DeterministicEval<E> {
    objective: E,
    parts: &'static [&'static str],
    interval: usize,
    criterion: Dvar,
}

impl<E> DeterministicEval<E> {
    /// `objective` gives the loss, `[1]`, without gradient, for the model and the number of the
    /// evaluation; the same model must give the same bits. `interval` counts steps; 0 is taken
    /// as 1.
    pub fn new(objective: E, interval: usize, criterion: Dvar) -> Self {
        Self { objective, parts: &[], interval: interval.max(1), criterion }
    }

    /// Also records further losses, which the objective gives after the first, as
    /// `eval_loss_{part}`.
    #[must_use]
    pub fn with_parts(self, parts: &'static [&'static str]) -> Self {
        Self { parts, ..self }
    }
}

impl<M, E: Fn(&M, usize) -> Vec<Tensor<1>>> Callback<M> for DeterministicEval<E> {
    fn name(&self) -> &'static str {
        "deterministic-eval"
    }

    fn before_update<'a>(
        &'a mut self,
        step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async move {
            if !step.record.step.is_multiple_of(self.interval) {
                return Ok(Control::Continue);
            }
            let losses = (self.objective)(step.model, step.record.step / self.interval);
            let losses = Tensor::cat(losses, 0).into_data_async().await;
            let losses = losses.map_err(|error| TrainError::Device(error.to_string()))?;
            let losses: Vec<f64> = losses.iter::<f64>().collect();
            let loss = losses.first().copied().unwrap_or(f64::NAN);
            let control = self.criterion.update(loss)?;
            step.record.set("eval_loss", loss);
            for (part, loss) in self.parts.iter().zip(losses.iter().skip(1)) {
                step.record.set(&format!("eval_loss_{part}"), *loss);
            }
            step.record.set("ratio", self.criterion.ratio());
            Ok(match control {
                Control::Stop(reason) => Control::Stop(reason.at_step(step.record.step)),
                Control::Continue => Control::Continue,
            })
        })
    }

    fn save(&self) -> Option<serde_json::Value> {
        serde_json::to_value(&self.criterion).ok()
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<(), TrainError> {
        self.criterion =
            serde_json::from_value(saved).map_err(|error| TrainError::State(error.to_string()))?;
        Ok(())
    }
}
