//! Host-side randomness: one ChaCha stream for each purpose and step.
//!
//! The key of a stream is the run's seed, the purpose's name and the step, so a draw depends on
//! nothing that happened before: a resumed run goes on with the same numbers, and every backend
//! and the browser draw alike. Normal draws are computed in f64 and rounded to f32, so that the last
//! bits in which the `exp` and `ln` of two platforms differ show in less than one draw in a billion.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, StandardNormal};

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha12Rng);

impl Stream {
    /// The stream of one purpose, by its name, at one step (or of one picture, for sampling).
    ///
    /// # Panics
    ///
    /// If the name is longer than 16 bytes, which is the room that the key has for it.
    pub fn new(seed: u64, purpose: impl AsRef<str>, step: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let name = purpose.as_ref().as_bytes();
        assert!(name.len() <= 16, "the name of a stream has at most 16 bytes");
        key[8..8 + name.len()].copy_from_slice(name);
        key[24..].copy_from_slice(&step.to_le_bytes());
        Self(ChaCha12Rng::from_seed(key))
    }

    /// `count` standard normal numbers.
    pub fn normal(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| StandardNormal.sample(&mut self.0)).collect()
    }

    /// A whole number from 0 to `bound - 1`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // u32: the same draw on 32-bit and 64-bit machines
        let bound = u32::try_from(bound).unwrap_or(u32::MAX);
        if bound == 0 { 0 } else { self.0.random_range(0..bound) as usize }
    }

    /// True with the given probability: never for 0, always for 1. For one half it is a draw's
    /// lowest bit.
    pub fn chance(&mut self, probability: f64) -> bool {
        const DRAWS: f64 = (1_u64 << 32) as f64;
        f64::from(self.0.next_u32().reverse_bits()) >= (1.0 - probability) * DRAWS
    }

    /// 0 to `count - 1` in random order.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_purpose_and_step_alone() {
        let draw = |seed, purpose, step| Stream::new(seed, purpose, step).normal(4);
        assert_eq!(draw(1, "noise", 2), draw(1, "noise", 2));
        assert_ne!(draw(1, "noise", 2), draw(2, "noise", 2));
        assert_ne!(draw(1, "noise", 2), draw(1, "posterior-noise", 2));
        assert_ne!(draw(1, "noise", 2), draw(1, "noise", 3));
    }

    #[test]
    fn draws_keep_their_values_across_versions() {
        // A change here changes every seeded run of every user: bump the version if it must be.
        let mut stream = Stream::new(0, "noise", 0);
        assert_eq!(stream.normal(3), [-0.697_940_23, 0.012_662_131, 1.635_309_3]);
        assert_eq!(Stream::new(7, "timesteps", 5).below(1000), 619);
    }

    #[test]
    fn a_chance_of_one_half_keeps_the_fair_coins_draws() {
        let (mut coins, mut draws) = (stream(), stream());
        assert!((0..1000).all(|_| coins.chance(0.5) == (draws.0.next_u32() & 1 == 1)));
    }

    #[test]
    fn a_chance_comes_true_as_often_as_it_says() {
        for probability in [0.0, 0.1, 0.5, 0.9, 1.0] {
            let mut stream = stream();
            let hits = (0..20_000).filter(|_| stream.chance(probability)).count();
            let share = hits as f64 / 20_000.0;
            let spread = if probability.fract() == 0.0 { 0.0 } else { 0.02 };
            assert!((share - probability).abs() <= spread, "{share} for {probability}");
        }
    }

    fn stream() -> Stream {
        Stream::new(3, "flips", 0)
    }

    #[test]
    fn normal_draws_have_mean_zero_and_variance_one() {
        let draws = Stream::new(3, "noise", 0).normal(100_000);
        let mean = draws.iter().map(|x| *x as f64).sum::<f64>() / draws.len() as f64;
        let variance =
            draws.iter().map(|x| (*x as f64 - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(
            mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02,
            "mean {mean}, variance {variance}"
        );
    }

    #[test]
    fn a_permutation_may_be_any_order() {
        let orders = (0..200).map(|step| Stream::new(3, "pairs", step).permutation(3));
        assert_eq!(orders.collect::<std::collections::BTreeSet<_>>().len(), 6);
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let mut order = Stream::new(3, "evaluation", 0).permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
