//! The training objective on inputs that do not change, or only in the factors that are to
//! (arXiv 2302.04841v1, section 4): its value depends on the concept alone, so it shows convergence
//! where the training loss shows noise.

use std::borrow::Cow;

use burn::tensor::{Int, Tensor, TensorData};

use super::switches::EvaluationSwitches;
use crate::{
    concept::ConceptWeights,
    objective::{Batch, DiffusionObjective, DrawRanges, Draws, Share},
    rng::{Purpose, Stream},
    tensor::total,
};

/// The names of the intervals of time steps that are looked at apart, with `triple`.
pub const INTERVALS: [&str; 3] = ["begin", "middle", "end"];

/// What the evaluation batch is drawn from.
#[derive(Clone, Debug)]
pub struct EvaluationDraws {
    /// Pictures, templates and the rest, as in training.
    pub ranges: DrawRanges,
    /// Inputs evaluated at once.
    pub batch_size: usize,
    /// Rounds: over the fixed inputs again, or over more that are redrawn, each with time steps
    /// of its own.
    pub accumulation_steps: usize,
    /// Which factors are drawn once.
    pub switches: EvaluationSwitches,
    /// The posterior's mean in place of a sample.
    pub mean_latent: bool,
    /// The diffusion noise's mean, zero, in place of a sample.
    pub mean_noise: bool,
}

impl EvaluationDraws {
    /// One [`Draws`] for each round of the evaluation that is number `evaluation` of its run.
    ///
    /// Fixed factors are the same in every round of every evaluation, but for the time steps,
    /// which no two rounds share until all were used. Redrawn ones come from a stream of the
    /// evaluation's own, so that a resumed run goes on with them.
    pub fn draw(&self, evaluation: usize) -> Vec<Draws> {
        let mut once = Stream::new(self.ranges.seed, Purpose::Evaluation, 0);
        let mut anew = Stream::new(self.ranges.seed, Purpose::Evaluation, evaluation as u64 + 1);
        let fixed = self.inputs(&mut once, (0..self.batch_size).collect());
        let order = self.timestep_order(&mut once);
        let switches = self.switches;
        let order = if switches.timesteps { order } else { self.timestep_order(&mut anew) };
        let mut timesteps = order.into_iter().cycle();
        (0..self.accumulation_steps)
            .map(|_| {
                let pictures =
                    (0..self.batch_size).map(|_| anew.below(self.ranges.pictures)).collect();
                let redrawn = self.inputs(&mut anew, pictures);
                let pick = |fix: bool| if fix { &fixed } else { &redrawn };
                Draws {
                    pictures: pick(switches.images).pictures.clone(),
                    flips: pick(switches.images).flips.clone(),
                    rescales: pick(switches.images).rescales.clone(),
                    templates: pick(switches.captions).templates.clone(),
                    posterior_noise: pick(switches.latents).posterior_noise.clone(),
                    noise: pick(switches.noise).noise.clone(),
                    timesteps: timesteps.by_ref().take(self.batch_size).collect(),
                    prior: None,
                }
            })
            .collect()
    }

    fn timestep_order(&self, stream: &mut Stream) -> Vec<usize> {
        let order = stream.permutation(self.ranges.num_timesteps());
        order.into_iter().map(|time| self.ranges.min_timestep + time).collect()
    }

    /// Everything but the time steps.
    fn inputs(&self, stream: &mut Stream, pictures: Vec<usize>) -> Draws {
        let values = self.batch_size * self.ranges.latent_size;
        let normal = |stream: &mut Stream, mean: bool| {
            if mean { vec![0.0; values] } else { stream.normal(values) }
        };
        Draws {
            pictures: pictures.into_iter().map(|i| i % self.ranges.pictures).collect(),
            templates: (0..self.batch_size).map(|_| stream.below(self.ranges.templates)).collect(),
            flips: (0..self.batch_size).map(|_| stream.chance(self.ranges.flip)).collect(),
            posterior_noise: normal(stream, self.mean_latent),
            noise: normal(stream, self.mean_noise),
            rescales: self.ranges.rescales(stream, self.batch_size),
            ..Draws::default()
        }
    }

    /// The rounds of [`draw`](Self::draw) with time steps of one third of those trained on: the
    /// first three thirds, without a remainder, as the official code's `--triple`.
    pub fn interval(&self, interval: usize, rounds: &[Draws]) -> Vec<Draws> {
        let third = Self::most_triple_inputs(self.ranges.num_timesteps());
        let start = self.ranges.min_timestep + interval * third;
        let seed_step = u64::MAX - interval as u64; // no evaluation's own stream
        let order =
            Stream::new(self.ranges.seed, Purpose::Evaluation, seed_step).permutation(third);
        let mut timesteps = order.into_iter().cycle().map(|time| start + time);
        rounds
            .iter()
            .map(|round| Draws {
                timesteps: timesteps.by_ref().take(self.batch_size).collect(),
                ..round.clone()
            })
            .collect()
    }

    /// Most inputs for which an interval's time steps do not repeat.
    pub fn most_triple_inputs(timesteps: usize) -> usize {
        timesteps / INTERVALS.len()
    }
}

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

    /// How many of the [`losses`](Self::losses) are means over inputs; those of single inputs follow.
    pub fn means(&self) -> usize {
        if self.triple { 1 + INTERVALS.len() } else { 1 }
    }

    /// The mean objective over the inputs of all rounds, without gradient, reduced in f32, and each
    /// interval's after it, each `[1]`; at the end, where they are asked for, the objective of each input of a
    /// round, `[batch_size]` for each round. `evaluation` counts the evaluations of the run from 0.
    pub fn losses(
        &self,
        objective: &DiffusionObjective,
        weights: &ConceptWeights,
        evaluation: usize,
    ) -> Vec<Tensor<1>> {
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
        losses.extend(inputs);
        losses
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

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(accumulation_steps: usize, switches: EvaluationSwitches) -> EvaluationDraws {
        EvaluationDraws {
            ranges: DrawRanges {
                seed: 3,
                pictures: 3,
                templates: 57,
                latent_size: 8,
                min_timestep: 0,
                max_timestep: 10,
                flip: 0.5,
                rescaled_size: None,
            },
            batch_size: 4,
            accumulation_steps,
            switches,
            mean_latent: false,
            mean_noise: false,
        }
    }

    fn fixed(accumulation_steps: usize) -> Vec<Draws> {
        draws(accumulation_steps, EvaluationSwitches::default()).draw(0)
    }

    #[test]
    fn rounds_share_everything_but_time_steps() {
        let rounds = fixed(3);
        assert_eq!(rounds[0].noise, rounds[2].noise);
        assert_ne!(rounds[0].timesteps, rounds[1].timesteps);
        assert_eq!(rounds[0].pictures, [0, 1, 2, 0]);
    }

    #[test]
    fn more_inputs_than_time_steps_start_over() {
        let used: Vec<usize> = fixed(3).into_iter().flat_map(|round| round.timesteps).collect();
        assert_eq!(used.len(), 12);
        assert_eq!(used[10..], used[..2]);
    }

    #[test]
    fn each_of_the_32_combinations_redraws_its_factors_and_no_other() {
        for switches in EvaluationSwitches::all() {
            let draws = draws(2, switches);
            let (first, second) = (draws.draw(0), draws.draw(1));
            assert_eq!(draws.draw(1), second, "{switches}: an evaluation can be drawn again");
            for (place, fixed) in switches.fixed().into_iter().enumerate() {
                let same = (0..2).map(|i| factor(&first[i], place) == factor(&second[i], place));
                let same: Vec<bool> = same.collect();
                assert_eq!(same, [fixed; 2], "{switches}, factor {place}");
            }
        }
    }

    /// What was drawn of one factor, in the switches' order.
    fn factor(draws: &Draws, place: usize) -> String {
        match place {
            0 => format!("{:?}{:?}", draws.pictures, draws.flips),
            1 => format!("{:?}", draws.posterior_noise),
            2 => format!("{:?}", draws.noise),
            3 => format!("{:?}", draws.templates),
            _ => format!("{:?}", draws.timesteps),
        }
    }

    #[test]
    fn means_take_the_place_of_noise() {
        let mean = EvaluationDraws {
            mean_latent: true,
            mean_noise: true,
            ..draws(1, EvaluationSwitches::default())
        };
        let round = &mean.draw(0)[0];
        assert_eq!((&round.noise, &round.posterior_noise), (&vec![0.0; 32], &vec![0.0; 32]));
        assert_eq!(round.pictures, fixed(1)[0].pictures);
    }

    #[test]
    fn time_steps_stay_in_their_range_and_so_do_its_thirds() {
        for switches in EvaluationSwitches::all() {
            let mut draws = draws(3, switches);
            (draws.ranges.min_timestep, draws.ranges.max_timestep) = (400, 1000);
            let rounds = draws.draw(1);
            let times = |rounds: &[Draws]| -> Vec<usize> {
                rounds.iter().flat_map(|round| round.timesteps.clone()).collect()
            };
            assert!(times(&rounds).iter().all(|time| (400..1000).contains(time)));
            for interval in 0..3 {
                let third = 400 + 200 * interval..600 + 200 * interval;
                let drawn = draws.interval(interval, &rounds);
                assert!(times(&drawn).iter().all(|time| third.contains(time)));
            }
        }
    }

    #[test]
    fn no_input_is_mirrored_or_every_one_and_nothing_else_changes() {
        for (flip, mirrored) in [(0.0, false), (1.0, true)] {
            let mut draws = draws(2, EvaluationSwitches::default());
            draws.ranges.flip = flip;
            let flips = vec![mirrored; 4];
            let wanted = fixed(2).into_iter().map(|round| Draws { flips: flips.clone(), ..round });
            assert_eq!(draws.draw(0), wanted.collect::<Vec<_>>());
        }
    }

    #[test]
    fn intervals_are_thirds_of_the_schedule_without_repetition() {
        let mut draws = draws(3, EvaluationSwitches::default());
        draws.ranges.max_timestep = 1000;
        let rounds = draws.draw(0);
        for interval in 0..3 {
            let drawn = draws.interval(interval, &rounds);
            let mut times: Vec<usize> = drawn.iter().flat_map(|d| d.timesteps.clone()).collect();
            times.sort_unstable();
            times.dedup();
            assert_eq!(times.len(), 12);
            assert!(times.iter().all(|time| (interval * 333..(interval + 1) * 333).contains(time)));
            assert_eq!(drawn[0].noise, rounds[0].noise);
        }
    }
}
