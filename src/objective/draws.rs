//! The random numbers of one training step.

use std::{cell::RefCell, collections::BTreeMap};

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
    /// Standard normal, for each input `[channels, height, width]` of the largest picture's latents;
    /// smaller ones take the first of these.
    pub posterior_noise: Vec<f32>,
    /// Standard normal, as many.
    pub noise: Vec<f32>,
    /// From 0 to the schedule's last step.
    pub timesteps: Vec<usize>,
    /// Size and place of each picture, for methods that rescale them; else empty.
    pub rescales: Vec<Rescale>,
    /// The same for pictures of the concept's class, for methods that train on them.
    pub prior: Option<Box<Draws>>,
}

impl Draws {
    /// The inputs at these places alone; those of the class stay.
    #[must_use]
    pub fn part(&self, places: &[usize]) -> Self {
        fn of<T: Clone>(values: &[T], places: &[usize], each: usize) -> Vec<T> {
            places.iter().flat_map(|place| values[place * each..][..each].to_vec()).collect()
        }
        let per_input = |values: &[f32]| values.len() / self.pictures.len();
        Self {
            pictures: of(&self.pictures, places, 1),
            templates: of(&self.templates, places, 1),
            flips: of(&self.flips, places, 1),
            posterior_noise: of(&self.posterior_noise, places, per_input(&self.posterior_noise)),
            noise: of(&self.noise, places, per_input(&self.noise)),
            timesteps: of(&self.timesteps, places, 1),
            rescales: if self.rescales.is_empty() {
                Vec::new()
            } else {
                of(&self.rescales, places, 1)
            },
            prior: self.prior.clone(),
        }
    }
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
    /// Values in the latents of the largest picture.
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
    /// The pictures, those of one size together.
    sizes: Vec<Vec<usize>>,
    /// For each size the epoch that was asked for last, and the order of its pairs: an epoch is shuffled
    /// once, not for every micro-batch.
    order: RefCell<BTreeMap<usize, (usize, Vec<usize>)>>,
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
        let sizes = vec![(0..ranges.pictures).collect()];
        Self { ranges, batch_size, pairing, class_pictures, sizes, order: RefCell::default() }
    }

    /// Inputs of a micro-batch; with prior preservation as many of the class come to them.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The same with pictures of several sizes, each list those of one: a micro-batch has pictures of
    /// one of them.
    #[must_use]
    pub fn with_sizes(self, sizes: Vec<Vec<usize>>) -> Self {
        Self { sizes, order: RefCell::default(), ..self }
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

    /// Picture and template of each input: the pairs of a size in random order, every pair once before
    /// any comes again.
    fn pairs(&self, micro: usize) -> Vec<(usize, usize)> {
        let DrawRanges { seed, templates, .. } = self.ranges;
        let (size, turn) = self.turn(micro);
        let pictures = &self.sizes[size];
        let round = pictures.len() * templates;
        let mut orders = self.order.borrow_mut();
        (turn * self.batch_size..(turn + 1) * self.batch_size)
            .map(|input| {
                let (epoch, place) = (input / round, input % round);
                let shuffled = || {
                    let step = epoch * self.sizes.len() + size;
                    (epoch, Stream::new(seed, Purpose::Pairs, step as u64).permutation(round))
                };
                let order = orders.entry(size).or_insert_with(shuffled);
                if order.0 != epoch {
                    *order = shuffled();
                }
                let (picture, template) =
                    self.pairing.pair(order.1[place], pictures.len(), templates);
                (pictures[picture], template)
            })
            .collect()
    }

    /// Whose turn a micro-batch is, and how many that size had before: of as many micro-batches in a row
    /// as there are pictures, in random order, each size has as many as it has pictures, so that no
    /// picture comes more often than another.
    fn turn(&self, micro: usize) -> (usize, usize) {
        let (round, place) = (micro / self.ranges.pictures, micro % self.ranges.pictures);
        let of = self.sizes.iter().enumerate().flat_map(|(size, p)| vec![size; p.len()]);
        let of: Vec<usize> = of.collect();
        let order = Stream::new(self.ranges.seed, Purpose::Sizes, round as u64)
            .permutation(self.ranges.pictures);
        let size = of[order[place]];
        let before = order[..place].iter().filter(|turn| of[**turn] == size).count();
        (size, round * self.sizes[size].len() + before)
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
    fn batches_are_of_one_size_and_each_picture_comes_as_often_as_the_others() {
        let sizes = vec![vec![0, 3, 4], vec![1], vec![2]];
        let draws = DrawRanges { pictures: 5, templates: 7, ..source(3).ranges };
        let draws = SeededDraws::new(draws, 3, Pairing::AllPairs, 0).with_sizes(sizes.clone());
        let mut pairs = BTreeMap::<(usize, usize), usize>::new();
        let mut turns = Vec::new();
        for micro in 0..5 * 7 {
            let Draws { pictures, templates, .. } = draws.draw(micro);
            let size = sizes.iter().position(|size| size.contains(&pictures[0])).unwrap();
            assert!(pictures.iter().all(|picture| sizes[size].contains(picture)), "{pictures:?}");
            turns.push(size);
            for pair in pictures.into_iter().zip(templates) {
                *pairs.entry(pair).or_default() += 1;
            }
        }
        // whatever the batch size: here each pair comes once for each of a batch's inputs
        assert_eq!(pairs.len(), 5 * 7);
        assert!(pairs.values().all(|count| *count == 3), "{pairs:?}");
        for round in turns.chunks(5) {
            let of = |size| round.iter().filter(|turn| **turn == size).count();
            assert_eq!([of(0), of(1), of(2)], [3, 1, 1]);
        }
        assert!(turns.chunks(5).any(|round| round != &turns[..5]), "in random order");
    }

    #[test]
    fn a_part_of_the_draws_holds_what_its_inputs_drew() {
        let whole = source(4).draw(1);
        let part = whole.part(&[2, 0]);
        assert_eq!(part.pictures, [whole.pictures[2], whole.pictures[0]]);
        assert_eq!(part.timesteps, [whole.timesteps[2], whole.timesteps[0]]);
        assert_eq!(part.noise, [&whole.noise[4..6], &whole.noise[..2]].concat());
        assert_eq!(whole.part(&[0, 1, 2, 3]), whole);
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
    fn time_steps_and_mirroring_are_as_they_were_asked_for_also_of_the_class() {
        for (flip, mirrored) in [(0.0, false), (1.0, true)] {
            let ranges =
                DrawRanges { min_timestep: 400, max_timestep: 403, flip, ..source(3).ranges };
            let draws = SeededDraws::new(ranges, 8, Pairing::AllPairs, 2);
            let (mut times, mut pictures) = ([BTreeSet::new(), BTreeSet::new()], BTreeSet::new());
            for micro in 0..20 {
                let own = draws.draw(micro);
                let class = own.prior.as_deref().expect("pictures of the class");
                for (times, drawn) in times.iter_mut().zip([&own, class]) {
                    assert_eq!(drawn.flips, [mirrored; 8]);
                    times.extend(drawn.timesteps.clone());
                }
                assert_ne!(own.noise, class.noise);
                pictures.extend(class.pictures.clone());
            }
            assert!(times.iter().all(|times| *times == BTreeSet::from([400, 401, 402])));
            assert_eq!(pictures, BTreeSet::from([0, 1]));
        }
        assert_eq!(source(3).draw(0).prior, None);
    }

    #[test]
    fn the_same_step_draws_the_same_numbers() {
        assert_eq!(source(4).draw(9), source(4).draw(9));
        assert_ne!(source(4).draw(9), source(4).draw(8));
    }
}
