//! The deterministic evaluation of a run: the whole batch here, or its shares by whoever computes them.

use std::{cell::RefCell, collections::BTreeMap};

use burn::tensor::Tensor;

use super::Session;
use crate::{
    callbacks::{DeterministicEval, Evaluation},
    concept::Concept,
    config::{Stopping, TrainConfig},
    eval::{EvaluationDraws, FixedBatch, INTERVALS},
    objective::{DiffusionObjective, Share},
    trainer::{Callback, LocalBoxFuture, Part, Replicas, Task, TrainError, TrainState},
};

/// The fixed batch, or the shares of it that were asked for: each is prepared when it is asked for
/// first.
#[derive(Debug)]
pub(super) struct FixedBatches {
    draws: EvaluationDraws,
    triple: bool,
    each_input: bool,
    prepared: RefCell<BTreeMap<Share, FixedBatch>>,
}

impl FixedBatches {
    pub(super) fn new(config: &TrainConfig, draws: EvaluationDraws) -> Self {
        let (triple, each_input) = (config.triple, config.each_input);
        Self { draws, triple, each_input, prepared: RefCell::default() }
    }

    /// The means over a share's inputs, then the losses of single inputs.
    pub(super) fn losses(
        &self,
        objective: &DiffusionObjective,
        concept: &Concept,
        evaluation: usize,
        share: Share,
    ) -> (Vec<Tensor<1>>, Vec<Tensor<1>>) {
        let prepare = || {
            let batch = FixedBatch::from_draws(objective, self.draws.clone(), self.triple, share);
            if self.each_input { batch.with_each_input() } else { batch }
        };
        let mut prepared = self.prepared.borrow_mut();
        let batch = prepared.entry(share).or_insert_with(prepare);
        let mut means = batch.losses(objective, &concept.plain(), evaluation);
        let inputs = means.split_off(batch.means());
        (means, inputs)
    }
}

impl Session {
    /// The objective on the fixed batch, without gradient, then that of each interval with
    /// `triple`: `[1]` each; then that of each input with `each_input`, `[inputs]` of a round.
    /// `evaluation` counts the run's evaluations.
    pub fn evaluation_losses(&self, concept: &Concept, evaluation: usize) -> Vec<Tensor<1>> {
        let (means, inputs) =
            self.evaluation.losses(&self.objective, concept, evaluation, Share::WHOLE);
        [means, inputs].concat()
    }

    /// The callback that evaluates the fixed batch and stops the run by DVAR or at the plateau.
    /// `replicas` compute the batch, where there are any.
    pub fn deterministic_eval<'a>(
        &'a self,
        config: &TrainConfig,
        replicas: Option<&'a dyn Replicas>,
    ) -> Box<dyn Callback<Concept, TrainState> + 'a> {
        let intervals = if config.triple { &INTERVALS[..] } else { &[] };
        let inputs =
            if config.each_input { config.eval_batch_size * config.eval_rounds } else { 0 };
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
