//! The random numbers of one training step.

use std::cell::RefCell;

use super::rescaling::Rescale;
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

/// What the inputs of a run are drawn from, in training as in the evaluation.
#[derive(Clone, Copy, Debug)]
pub struct DrawRanges {
    /// The run's seed.
    pub seed: u64,
    /// Training pictures.
    pub pictures: usize,
    /// Caption templates.
    pub templates: usize,
    /// Values in one input's latents.
    pub latent_size: usize,
    /// First step of the noise schedule that is trained on.
    pub min_timestep: usize,
    /// The step after the last one.
    pub max_timestep: usize,
    /// How likely a picture is mirrored.
    pub flip: f64,
    /// Height and width of pictures that are rescaled at random; none: they are not.
    pub rescaled_size: Option<usize>,
}

impl DrawRanges {
    /// Steps of the noise schedule that are trained on.
    pub fn num_timesteps(&self) -> usize {
        self.max_timestep - self.min_timestep
    }

    fn timestep(&self, stream: &mut Stream) -> usize {
        self.min_timestep + stream.below(self.num_timesteps())
    }

    /// Size and place of `count` pictures; none where pictures are not rescaled.
    pub fn rescales(&self, stream: &mut Stream, count: usize) -> Vec<Rescale> {
        let Some(size) = self.rescaled_size else { return Vec::new() };
        (0..count).map(|_| Rescale::draw(stream, size)).collect()
    }
}

/// Draws from the run's seed by named streams, one for each purpose.
#[derive(Clone, Debug)]
pub struct SeededDraws {
    ranges: DrawRanges,
    batch_size: usize,
    pairing: Pairing,
    class_pictures: usize,
    /// The epoch that was asked for last, and the order of its pairs: an epoch is shuffled once,
    /// not for every micro-batch.
    order: RefCell<Option<(usize, Vec<usize>)>>,
}

impl DrawSource for SeededDraws {
    fn draw(&self, micro: usize) -> Draws {
        let ranges = &self.ranges;
        let stream = |purpose| Stream::new(ranges.seed, purpose, micro as u64);
        let (mut flips, mut timesteps) = (stream(Purpose::Flips), stream(Purpose::Timesteps));
        let pairs = self.pairs(micro);
        let values = self.batch_size * self.ranges.latent_size;
        Draws {
            pictures: pairs.iter().map(|pair| pair.0).collect(),
            templates: pairs.iter().map(|pair| pair.1).collect(),
            flips: (0..self.batch_size).map(|_| flips.chance(ranges.flip)).collect(),
            posterior_noise: stream(Purpose::PosteriorNoise).normal(values),
            noise: stream(Purpose::Noise).normal(values),
            timesteps: (0..self.batch_size).map(|_| ranges.timestep(&mut timesteps)).collect(),
            rescales: ranges.rescales(&mut stream(Purpose::Rescaling), self.batch_size),
            prior: (self.class_pictures > 0).then(|| Box::new(self.prior(micro))),
        }
    }
}

impl SeededDraws {
    /// Draws of micro-batches of `batch_size` inputs, and as many of `class_pictures` pictures of
    /// the concept's class, unless there are none. `pairing` says which picture meets which
    /// template.
    pub fn new(
        ranges: DrawRanges,
        batch_size: usize,
        pairing: Pairing,
        class_pictures: usize,
    ) -> Self {
        Self { ranges, batch_size, pairing, class_pictures, order: RefCell::new(None) }
    }

    /// The same with micro-batches of another size.
    #[must_use]
    pub fn with_batch_size(&self, batch_size: usize) -> Self {
        Self { batch_size, ..self.clone() }
    }

    /// As many pictures of the class as of the concept, each as likely.
    fn prior(&self, micro: usize) -> Draws {
        let mut stream = Stream::new(self.ranges.seed, Purpose::Prior, micro as u64);
        let (count, values) = (self.batch_size, self.batch_size * self.ranges.latent_size);
        Draws {
            pictures: (0..count).map(|_| stream.below(self.class_pictures)).collect(),
            templates: vec![0; count],
            flips: (0..count).map(|_| stream.chance(self.ranges.flip)).collect(),
            timesteps: (0..count).map(|_| self.ranges.timestep(&mut stream)).collect(),
            posterior_noise: stream.normal(values),
            noise: stream.normal(values),
            ..Draws::default()
        }
    }

    /// Picture and template of each input: the pairs in random order, every pair once before any
    /// comes again.
    fn pairs(&self, micro: usize) -> Vec<(usize, usize)> {
        let DrawRanges { seed, pictures, templates, .. } = self.ranges;
        let round = pictures * templates;
        let mut order = self.order.borrow_mut();
        (micro * self.batch_size..(micro + 1) * self.batch_size)
            .map(|input| {
                let (epoch, place) = (input / round, input % round);
                let order = match &*order {
                    Some((of, order)) if *of == epoch => order,
                    _ => {
                        let shuffled =
                            Stream::new(seed, Purpose::Pairs, epoch as u64).permutation(round);
                        &order.insert((epoch, shuffled)).1
                    }
                };
                self.pairing.pair(order[place], pictures, templates)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn source(batch_size: usize) -> SeededDraws {
        let ranges = DrawRanges {
            seed: 1,
            pictures: 3,
            templates: 57,
            latent_size: 2,
            min_timestep: 0,
            max_timestep: 1000,
            flip: 0.5,
            rescaled_size: None,
        };
        SeededDraws::new(ranges, batch_size, Pairing::AllPairs, 0)
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

    #[test]
    fn a_draw_does_not_depend_on_what_was_drawn_before() {
        // 4 inputs from the end of the first epoch, which has 171, to the start of the second
        let (used, across) = (source(4), 42);
        for micro in [0, across, across + 1, 200, across, 0] {
            assert_eq!(used.draw(micro), source(4).draw(micro), "{micro}");
        }
    }

    #[test]
    fn the_same_step_draws_the_same_numbers() {
        assert_eq!(source(4).draw(9), source(4).draw(9));
        assert_ne!(source(4).draw(9), source(4).draw(8));
    }
}
