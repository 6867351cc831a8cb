//! The deterministic evaluation of a run: the whole batch here, or its shares by whoever computes them.

use burn::tensor::Tensor;

use super::Session;
use crate::{
    callbacks::{DeterministicEval, Evaluation},
    concept::Concept,
    config::{Stopping, TrainConfig},
    eval::INTERVALS,
    objective::Share,
    trainer::{Callback, LocalBoxFuture, Part, Replicas, Task, TrainError, TrainState},
};

impl Session {
    /// The objective on the fixed batch, without gradient, then that of each interval with
    /// `triple`: `[1]` each; then that of each input with `each_input`, `[inputs]` of a round.
    /// `evaluation` counts the run's evaluations.
    pub fn evaluation_losses(&self, concept: &Concept, evaluation: usize) -> Vec<Tensor<1>> {
        let (means, inputs) =
            self.evaluation.losses(&self.objective, &concept.plain(), evaluation, Share::WHOLE);
        [means, inputs].concat()
    }

    /// The callback that evaluates the fixed batch and stops the run by DVAR or at the plateau.
    pub fn deterministic_eval(
        &self,
        config: &TrainConfig,
    ) -> Box<dyn Callback<Concept, TrainState> + '_> {
        self.deterministic_eval_by(config, None)
    }

    /// The same where replicas, if there are any, compute the fixed batch.
    pub fn deterministic_eval_by<'a>(
        &'a self,
        config: &TrainConfig,
        replicas: Option<&'a dyn Replicas>,
    ) -> Box<dyn Callback<Concept, TrainState> + 'a> {
        let intervals = if config.triple { &INTERVALS[..] } else { &[] };
        let inputs = if config.each_input { config.eval_inputs() } else { 0 };
        let parts = intervals.iter().map(ToString::to_string);
        let parts = parts.chain((0..inputs).map(|input| format!("input_{input}")));
        let eval = DeterministicEval::from_losses(OfRun { session: self, replicas });
        let eval = eval.every(config.eval_interval);
        match config.stopping {
            Stopping::Plateau => Box::new(eval.stop_when(config.plateau.clone()).with_parts(parts)),
            _ => Box::new(eval.stop_when(config.criterion.clone()).with_parts(parts)),
        }
    }
}

struct OfRun<'a> {
    session: &'a Session,
    replicas: Option<&'a dyn Replicas>,
}

impl Evaluation<Concept> for OfRun<'_> {
    fn losses<'a>(
        &'a mut self,
        concept: &'a Concept,
        evaluation: usize,
    ) -> LocalBoxFuture<'a, Result<Vec<Tensor<1>>, TrainError>> {
        Box::pin(async move {
            let Some(replicas) = self.replicas else {
                return Ok(self.session.evaluation_losses(concept, evaluation));
            };
            let sum = Part::of_all(replicas, concept, Task::Evaluation(evaluation)).await?;
            let device = self.session.objective.device();
            let losses = std::iter::once(sum.losses).chain(sum.inputs);
            Ok(losses.map(|losses| Tensor::from_floats(losses.as_slice(), &device)).collect())
        })
    }
}
