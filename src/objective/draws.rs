//! The random numbers of one training step.

use std::ops::Range;

use super::Rescale;
use crate::{
    data::dataset::Pairing,
    rng::{Purpose, Stream},
};

/// What one micro-batch draws; all lists have the batch's length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draws {
    /// Index of each input's picture.
    pub pictures: Vec<usize>,
    /// Index of each input's template.
    pub templates: Vec<usize>,
    /// Whether the picture is mirrored.
    pub flips: Vec<bool>,
    /// Standard normal, `[batch_size, channels, height, width]`.
    pub posterior_noise: Vec<f32>,
    /// Standard normal, the same shape.
    pub noise: Vec<f32>,
    /// From 0 to the schedule's last step.
    pub timesteps: Vec<usize>,
    /// Size and place of each picture, for methods that rescale them; else empty.
    pub rescales: Vec<Rescale>,
    /// The same for pictures of the concept's class, for methods that train on them.
    pub prior: Option<Box<Draws>>,
}

/// Where training steps get their random numbers from.
pub trait DrawSource {
    /// The draws of one micro-batch; `micro` counts micro-batches since the run's start.
    fn draw(&self, micro: usize) -> Draws;
}

/// Draws from the run's seed by named streams, one for each purpose.
#[derive(Clone, Debug)]
pub struct SeededDraws {
    /// The run's seed.
    pub seed: u64,
    /// Inputs of one micro-batch.
    pub batch_size: usize,
    /// Training pictures.
    pub pictures: usize,
    /// Caption templates.
    pub templates: usize,
    /// Which picture meets which template.
    pub pairing: Pairing,
    /// Values in one input's latents.
    pub latent_size: usize,
    /// Steps of the noise schedule that are trained on.
    pub timesteps: Range<usize>,
    /// How likely a picture is mirrored.
    pub flip: f64,
    /// Height and width of pictures that are rescaled at random; none: they are not.
    pub rescaled_size: Option<usize>,
    /// Pictures of the concept's class; 0: there are none.
    pub class_pictures: usize,
}

impl DrawSource for SeededDraws {
    fn draw(&self, micro: usize) -> Draws {
        let stream = |purpose| Stream::new(self.seed, purpose, micro as u64);
        let (mut flips, mut timesteps) = (stream(Purpose::Flips), stream(Purpose::Timesteps));
        let mut rescaling = stream(Purpose::Rescaling);
        let pairs = self.pairs(micro);
        let values = self.batch_size * self.latent_size;
        Draws {
            pictures: pairs.iter().map(|pair| pair.0).collect(),
            templates: pairs.iter().map(|pair| pair.1).collect(),
            flips: (0..self.batch_size).map(|_| flips.chance(self.flip)).collect(),
            posterior_noise: stream(Purpose::PosteriorNoise).normal(values),
            noise: stream(Purpose::Noise).normal(values),
            timesteps: (0..self.batch_size).map(|_| self.timestep(&mut timesteps)).collect(),
            rescales: match self.rescaled_size {
                Some(size) => {
                    (0..self.batch_size).map(|_| Rescale::draw(&mut rescaling, size)).collect()
                }
                None => Vec::new(),
            },
            prior: (self.class_pictures > 0).then(|| Box::new(self.prior(micro))),
        }
    }
}

impl SeededDraws {
    /// As many pictures of the class as of the concept, each as likely.
    fn prior(&self, micro: usize) -> Draws {
        let mut stream = Stream::new(self.seed, Purpose::Prior, micro as u64);
        let (count, values) = (self.batch_size, self.batch_size * self.latent_size);
        Draws {
            pictures: (0..count).map(|_| stream.below(self.class_pictures)).collect(),
            templates: vec![0; count],
            flips: (0..count).map(|_| stream.chance(self.flip)).collect(),
            timesteps: (0..count).map(|_| self.timestep(&mut stream)).collect(),
            posterior_noise: stream.normal(values),
            noise: stream.normal(values),
            ..Draws::default()
        }
    }

    fn timestep(&self, stream: &mut Stream) -> usize {
        self.timesteps.start + stream.below(self.timesteps.len())
    }

    /// Picture and template of each input: the pairs in random order, every pair once before any
    /// comes again.
    fn pairs(&self, micro: usize) -> Vec<(usize, usize)> {
        let round = self.pictures * self.templates;
        let mut order: Option<(usize, Vec<usize>)> = None;
        (micro * self.batch_size..(micro + 1) * self.batch_size)
            .map(|input| {
                let (epoch, place) = (input / round, input % round);
                let order = match &order {
                    Some((of, order)) if *of == epoch => order,
                    _ => {
                        let shuffled =
                            Stream::new(self.seed, Purpose::Pairs, epoch as u64).permutation(round);
                        &order.insert((epoch, shuffled)).1
                    }
                };
                self.pairing.pair(order[place], self.pictures, self.templates)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn source(batch_size: usize) -> SeededDraws {
        SeededDraws {
            seed: 1,
            batch_size,
            pictures: 3,
            templates: 57,
            pairing: Pairing::AllPairs,
            latent_size: 2,
            timesteps: 0..1000,
            flip: 0.5,
            rescaled_size: None,
            class_pictures: 0,
        }
    }

    #[test]
    fn an_epoch_meets_every_pair_of_picture_and_template_once() {
        let pairs: BTreeSet<(usize, usize)> = (0..57)
            .flat_map(|micro| {
                let draws = source(3).draw(micro);
                draws.pictures.into_iter().zip(draws.templates)
            })
            .collect();
        assert_eq!(pairs.len(), 3 * 57);
    }

    #[test]
    fn inputs_do_not_depend_on_how_they_are_batched_within_an_epoch() {
        let (large, small) = (source(4), source(2));
        let together = large.draw(5).pictures;
        let apart = [small.draw(10).pictures, small.draw(11).pictures].concat();
        assert_eq!(together, apart);
    }

    proptest! {
        #[test]
        fn time_steps_stay_in_their_range_and_move_with_it(
            micro in 0_usize..1000, start in 0_usize..999, length in 1_usize..1000,
        ) {
            let of = |timesteps: Range<usize>| {
                let source = SeededDraws { timesteps, class_pictures: 2, ..source(4) };
                let draws = source.draw(micro);
                [draws.timesteps, draws.prior.unwrap().timesteps].concat()
            };
            let range = start..(start + length).min(1000);
            let drawn = of(range.clone());
            prop_assert!(drawn.iter().all(|time| range.contains(time)));
            let from_zero = of(0..range.len()).iter().map(|time| start + time).collect::<Vec<_>>();
            prop_assert_eq!(drawn, from_zero);
        }
    }

    #[test]
    fn no_picture_is_mirrored_or_every_one_and_nothing_else_changes() {
        for (flip, mirrored) in [(0.0, false), (1.0, true)] {
            let draws = SeededDraws { flip, ..source(4) }.draw(9);
            let flips = vec![mirrored; 4];
            assert_eq!(draws, Draws { flips, ..source(4).draw(9) });
        }
    }

    #[test]
    fn the_same_step_draws_the_same_numbers() {
        assert_eq!(source(4).draw(9), source(4).draw(9));
        assert_ne!(source(4).draw(9), source(4).draw(8));
    }
}
