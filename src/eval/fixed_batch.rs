//! The training objective on inputs that do not change, or only in the factors that are to
//! (arXiv 2302.04841v1, section 4): its value depends on the concept alone, so it shows convergence
//! where the training loss shows noise.

use std::borrow::Cow;

use burn::tensor::{Int, Tensor, TensorData};

use super::{EvaluationDraws, EvaluationSwitches, INTERVALS};
use crate::{
    concept::ConceptWeights,
    objective::{Batch, DiffusionObjective, Draws, Share},
    tensor::total,
};

/// The evaluation of a run: prepared once where everything is fixed. Two evaluations of the same
/// concept with the same number on one device give the same bits.
#[derive(Clone, Debug)]
pub struct FixedBatch {
    /// Which of each round's inputs these are.
    share: Share,
    /// What is drawn anew at each evaluation; none where everything is fixed.
    draws: Option<EvaluationDraws>,
    triple: bool,
    each_input: bool,
    /// Where everything is fixed: the whole schedule's batches, then each interval's with `triple`.
    prepared: Vec<Vec<Round>>,
}

/// One round's inputs: a batch for each size of its pictures, and which of the inputs it holds.
type Round = Vec<(Vec<usize>, Batch)>;

impl FixedBatch {
    /// Prepares given rounds, which then stay on the device.
    pub fn new(objective: &DiffusionObjective, rounds: &[Draws]) -> Self {
        let prepared = vec![in_batches(objective, rounds)];
        Self { share: Share::WHOLE, draws: None, triple: false, each_input: false, prepared }
    }

    /// Looks at the intervals of time steps apart too, on the given rounds for each.
    #[must_use]
    pub fn with_intervals(mut self, objective: &DiffusionObjective, rounds: &[Vec<Draws>]) -> Self {
        self.triple = true;
        self.prepared.extend(rounds.iter().map(|rounds| in_batches(objective, rounds)));
        self
    }

    /// Draws the rounds: once where everything is fixed, else at each evaluation. Of each round only
    /// the inputs of one share are there.
    pub fn from_draws(
        objective: &DiffusionObjective,
        draws: EvaluationDraws,
        triple: bool,
        share: Share,
    ) -> Self {
        let mut batch =
            Self { share, draws: None, triple, each_input: false, prepared: Vec::new() };
        if draws.switches == EvaluationSwitches::default() {
            batch.prepared = batch.prepare(objective, &draws, 0);
        } else {
            batch.draws = Some(draws);
        }
        batch
    }

    /// Gives the loss of each input too.
    #[must_use]
    pub fn with_each_input(self) -> Self {
        Self { each_input: true, ..self }
    }

    /// The mean objective over the inputs of all rounds, without gradient, reduced in f32, and each
    /// interval's after it, each `[1]`; beside them, where they are asked for, the objective of each input of a
    /// round, `[batch_size]` for each round. `evaluation` counts the evaluations of the run from 0.
    pub fn losses(
        &self,
        objective: &DiffusionObjective,
        weights: &ConceptWeights,
        evaluation: usize,
    ) -> (Vec<Tensor<1>>, Vec<Tensor<1>>) {
        let (mut losses, mut inputs) = (Vec::new(), Vec::new());
        for (part, rounds) in self.batches(objective, evaluation).iter().enumerate() {
            let mut means = Vec::new();
            for round in rounds {
                if self.each_input && part == 0 {
                    let losses = round.iter().map(|b| objective.loss_and_each_input(weights, &b.1));
                    let (each_mean, each_input): (Vec<_>, Vec<_>) = losses.unzip();
                    means.push(mean(round, each_mean));
                    inputs.push(in_order(round, each_input));
                } else {
                    let losses = round.iter().map(|(_, batch)| objective.loss(weights, batch));
                    means.push(mean(round, losses.collect()));
                }
            }
            losses.push(Tensor::cat(means, 0).mean());
        }
        (losses, inputs)
    }

    /// The mean objective of a run's first evaluation under each of several concepts that leave the UNet
    /// as it is, computed in one pass: `[concepts]`.
    pub fn losses_side_by_side(
        &self,
        objective: &DiffusionObjective,
        concepts: &[ConceptWeights],
    ) -> Tensor<1> {
        let batches = self.batches(objective, 0);
        let rounds = &batches[0];
        let parts = rounds.iter().flat_map(|round| {
            let inputs: usize = round.iter().map(|(places, _)| places.len()).sum();
            round.iter().map(move |(places, batch)| {
                let weight = places.len() as f64 / (inputs * rounds.len()) as f64;
                objective.losses_side_by_side(concepts, batch).mul_scalar(weight)
            })
        });
        parts.reduce(|sum, part| sum + part).expect("a batch has inputs")
    }

    /// What an evaluation computes, prepared before or drawn now.
    fn batches(&self, objective: &DiffusionObjective, evaluation: usize) -> Cow<'_, [Vec<Round>]> {
        match &self.draws {
            None => Cow::Borrowed(&self.prepared),
            Some(draws) => Cow::Owned(self.prepare(objective, draws, evaluation)),
        }
    }

    fn prepare(
        &self,
        objective: &DiffusionObjective,
        draws: &EvaluationDraws,
        evaluation: usize,
    ) -> Vec<Vec<Round>> {
        let rounds = draws.draw(evaluation);
        let intervals = if self.triple { 0..INTERVALS.len() } else { 0..0 };
        let apart = intervals.map(|interval| draws.interval(interval, &rounds));
        let share = |rounds: &[Draws]| -> Vec<Draws> {
            rounds.iter().map(|round| round.share(self.share)).collect()
        };
        let all = std::iter::once(rounds.clone()).chain(apart);
        all.map(|rounds| in_batches(objective, &share(&rounds))).collect()
    }
}

/// The mean over a round's inputs, given that over each batch's.
fn mean(round: &Round, mut means: Vec<Tensor<1>>) -> Tensor<1> {
    if means.len() > 1 {
        let inputs: usize = round.iter().map(|(places, _)| places.len()).sum();
        for (mean, (places, _)) in means.iter_mut().zip(round) {
            *mean = mean.clone().mul_scalar(places.len() as f64 / inputs as f64);
        }
    }
    total(Tensor::cat(means, 0))
}

/// What was computed of each input of each batch, in the order of the round's inputs.
fn in_order(round: &Round, values: Vec<Tensor<1>>) -> Tensor<1> {
    let values = Tensor::cat(values, 0);
    let places: Vec<usize> = round.iter().flat_map(|(places, _)| places.clone()).collect();
    let mut order: Vec<i32> = (0..places.len() as i32).collect();
    order.sort_by_key(|computed| places[*computed as usize]);
    let order = TensorData::new(order, [places.len()]);
    let order = Tensor::<1, Int>::from_data(order, &values.device());
    values.select(0, order)
}

/// A single round also keeps what the UNet makes of it before the text; of many, that would take
/// much memory.
fn in_batches(objective: &DiffusionObjective, rounds: &[Draws]) -> Vec<Round> {
    let batch = |draws: &Draws, places: Vec<usize>| {
        let batch = objective.batch(&draws.part(&places));
        let kept = rounds.len() == 1;
        (places, if kept { objective.with_stem(batch) } else { batch })
    };
    let round = |draws: &Draws| {
        let by_size = objective.latents.by_size(&draws.pictures).into_iter();
        by_size.map(|places| batch(draws, places)).collect()
    };
    rounds.iter().map(round).collect()
}
