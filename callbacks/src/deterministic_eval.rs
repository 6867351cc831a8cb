//! DVAR's evaluation as a callback for any model: a loss that depends on the model alone, and
//! the criterion that watches it.

use std::fmt;

use burn::{
    module::Module,
    tensor::{DType, Tensor},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Callback, DeviceError, FactorStreams, Factors, LocalBoxFuture, StepContext, TrainError,
    early_stopping::{Control, Criterion},
    watch::{Watch, named_figure},
};

/// The callback's name where it is given none.
const NAME: &str = "deterministic-eval";

/// A loss that depends on the model, and on nothing that is drawn anew unless it is meant to be.
pub trait Evaluation<M> {
    /// The losses of evaluation number `evaluation`, counted from 0: at least one, without gradient. The
    /// first number is the one that is watched. The same model and number must give the same bits.
    ///
    /// # Errors
    ///
    /// What ends the run.
    fn losses<'a>(
        &'a mut self,
        model: &'a M,
        evaluation: usize,
    ) -> LocalBoxFuture<'a, Result<Vec<Tensor<1>>, TrainError>>;
}

impl<M, F: FnMut(&M, usize) -> Vec<Tensor<1>>> Evaluation<M> for F {
    fn losses<'a>(
        &'a mut self,
        model: &'a M,
        evaluation: usize,
    ) -> LocalBoxFuture<'a, Result<Vec<Tensor<1>>, TrainError>> {
        Box::pin(async move { Ok(self(model, evaluation)) })
    }
}

/// An objective on a batch that is prepared once, or drawn anew in some of its factors.
pub struct OnBatch<B, F> {
    source: Source<B>,
    /// What all evaluations share, once it is there.
    prepared: Option<B>,
    objective: F,
}

/// Draws an evaluation's batch.
type Draw<B> = Box<dyn FnMut(&mut FactorStreams<'_>) -> B>;

enum Source<B> {
    Given,
    Drawn(Factors, Draw<B>),
}

impl<B, F> fmt::Debug for OnBatch<B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBatch").finish_non_exhaustive()
    }
}

impl<M: Module, B, F: Fn(&M, &B) -> Tensor<1>> Evaluation<M> for OnBatch<B, F> {
    /// The mean of what the objective gives for the model in validation mode, reduced in f32.
    fn losses<'a>(
        &'a mut self,
        model: &'a M,
        evaluation: usize,
    ) -> LocalBoxFuture<'a, Result<Vec<Tensor<1>>, TrainError>> {
        Box::pin(async move {
            if let Source::Drawn(factors, draw) = &mut self.source
                && (self.prepared.is_none() || !factors.all_fixed())
            {
                let mut streams = factors.streams(evaluation);
                self.prepared = Some(draw(&mut streams));
                streams.check()?;
            }
            let model = model.valid();
            let losses = self.prepared.iter().map(|batch| (self.objective)(&model, batch));
            Ok(losses.map(|losses| losses.cast(DType::F32).mean()).collect())
        })
    }
}

/// Evaluates a loss that depends on the model alone every so many steps, before the update, and
/// stops when a criterion says so. Sets `eval_loss`, its further parts, and the criterion's figures
/// (DVAR's `ratio`) in the step's record.
///
/// # Example
///
/// ```
/// # use burn::{nn::Linear, tensor::Tensor};
/// use dvar_callbacks::{DeterministicEval, Factors, FactorStreams, early_stopping::Dvar};
///
/// # fn example(batch: Tensor<2>) -> Result<(), dvar_callbacks::early_stopping::CriterionError> {
/// // one batch, the same for the whole run
/// let objective = |model: &Linear, batch: &Tensor<2>| model.forward(batch.clone()).square().mean();
/// let eval = DeterministicEval::new(batch, objective).stop_when(Dvar::new(50, 0.1)?);
///
/// // drawn once; all but the noise stays fixed
/// let device = burn::tensor::Device::default();
/// let draw = move |factors: &mut FactorStreams<'_>| {
///     let noise = factors.stream("noise").normal(8);
///     Tensor::<1>::from_floats(noise.as_slice(), &device).reshape([4, 2])
/// };
/// let eval = DeterministicEval::drawn(Factors::fixed(7).redraw("noise"), draw, objective).every(10);
/// # Ok(())
/// # }
/// ```
pub struct DeterministicEval<E> {
    evaluation: E,
    name: Option<&'static str>,
    parts: Vec<String>,
    interval: usize,
    criterion: Option<Box<dyn Watch>>,
}

impl<E> fmt::Debug for DeterministicEval<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, parts, interval, .. } = self;
        f.debug_struct("DeterministicEval")
            .field("name", name)
            .field("parts", parts)
            .field("interval", interval)
            .finish_non_exhaustive()
    }
}

impl<B, F> DeterministicEval<OnBatch<B, F>> {
    /// Evaluates `objective` on `batch`, which stays prepared where it is: on the device without
    /// autodiff. `objective` gives the loss, `[1]`, or one for each input, `[batch_size]`; it is
    /// shown the model in validation mode.
    pub fn new<M: Module>(batch: B, objective: F) -> Self
    where
        F: Fn(&M, &B) -> Tensor<1>,
    {
        Self::from_losses(OnBatch { source: Source::Given, prepared: Some(batch), objective })
    }

    /// The same with a batch that `draw` makes of random numbers: once if every factor is fixed,
    /// else at each evaluation, with new numbers for the factors that are redrawn.
    pub fn drawn<M: Module>(
        factors: Factors,
        draw: impl FnMut(&mut FactorStreams<'_>) -> B + 'static,
        objective: F,
    ) -> Self
    where
        F: Fn(&M, &B) -> Tensor<1>,
    {
        let source = Source::Drawn(factors, Box::new(draw));
        Self::from_losses(OnBatch { source, prepared: None, objective })
    }
}

impl<E> DeterministicEval<E> {
    /// Evaluates whatever gives losses: a closure that takes the model and the number of the
    /// evaluation, for models that are no burn modules.
    pub fn from_losses(evaluation: E) -> Self {
        Self { evaluation, name: None, parts: Vec::new(), interval: 1, criterion: None }
    }

    /// Evaluates before the update of every `interval`-th step, from the first on: those of index 0,
    /// `interval` and so on. 0 is taken as 1. Default: 1
    #[must_use]
    pub fn every(self, interval: usize) -> Self {
        Self { interval: interval.max(1), ..self }
    }

    /// Ends the run when the criterion says so, and records its figures. Its state is saved and
    /// restored with the run. Default: only records the losses
    #[must_use]
    pub fn stop_when(
        self,
        criterion: impl Criterion + Serialize + DeserializeOwned + 'static,
    ) -> Self {
        Self { criterion: Some(Box::new(criterion)), ..self }
    }

    /// The callback's name where a run has several, and what their figures begin with:
    /// `{name}_eval_loss`. Default: `deterministic-eval`, and figures without a beginning
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Also records further losses, which the evaluation gives after the first, as
    /// `eval_loss_{part}`.
    #[must_use]
    pub fn with_parts(self, parts: impl IntoIterator<Item: ToString>) -> Self {
        Self { parts: parts.into_iter().map(|part| part.to_string()).collect(), ..self }
    }

    fn figure(&self, figure: &str) -> String {
        named_figure(self.name, figure)
    }
}

impl<M, S, E: Evaluation<M>> Callback<M, S> for DeterministicEval<E> {
    fn name(&self) -> &'static str {
        self.name.unwrap_or(NAME)
    }

    fn before_update_async<'a>(
        &'a mut self,
        step: StepContext<'a, M>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async move {
            if !step.record.step.is_multiple_of(self.interval) {
                return Ok(Control::Continue);
            }
            let evaluation = step.record.step / self.interval;
            let losses = self.evaluation.losses(step.model, evaluation).await?;
            if losses.is_empty() {
                let name = self.name.unwrap_or(NAME);
                return Err(TrainError::callback(name, "the evaluation gives no loss"));
            }
            let losses = Tensor::cat(losses, 0).into_data_async().await;
            let losses = losses.map_err(DeviceError::new)?;
            let losses: Vec<f64> = losses.iter::<f64>().collect();
            let loss = losses.first().copied().unwrap_or(f64::NAN);
            step.record.set(&self.figure("eval_loss"), loss);
            for (part, loss) in self.parts.iter().zip(losses.iter().skip(1)) {
                step.record.set(&self.figure(&format!("eval_loss_{part}")), *loss);
            }
            let Some(criterion) = &mut self.criterion else { return Ok(Control::Continue) };
            let control = criterion.update(loss)?.at_step(step.record.step);
            let figures = criterion.figures();
            for (figure, value) in figures {
                step.record.set(&self.figure(figure), value);
            }
            Ok(control)
        })
    }

    fn save(&self) -> Result<Option<serde_json::Value>, TrainError> {
        self.criterion.as_ref().map(|criterion| criterion.save()).transpose()
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<(), TrainError> {
        self.criterion.as_mut().map_or(Ok(()), |criterion| criterion.restore(saved))
    }
}
