//! What the fixed evaluation batch is drawn from.

use super::switches::EvaluationSwitches;
use crate::{
    objective::{DrawRanges, Draws},
    rng::{Purpose, Stream},
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
