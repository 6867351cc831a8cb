//! A batch cut into shares that are computed apart.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Draws;

/// One of the shares that a batch's inputs are cut into: as many of them in a row as in any other
/// share, or one less.
///
/// A run's numbers depend on how many shares there are, because sums are rounded; on who computes
/// them, they do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share {
    /// From 0.
    pub index: usize,
    /// Shares of the batch; no more than it has inputs.
    pub count: usize,
}

impl Share {
    /// The whole batch.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// The shares of a batch, in their order: so many, or as many as it has inputs.
    pub fn of(inputs: usize, most: usize) -> impl Iterator<Item = Self> {
        let count = most.min(inputs);
        (0..count).map(move |index| Self { index, count })
    }

    /// The places of this share's inputs in the batch.
    pub fn places(self, inputs: usize) -> Range<usize> {
        self.index * inputs / self.count..(self.index + 1) * inputs / self.count
    }

    /// What the mean over this share's inputs counts in that over the whole batch.
    pub fn weight(self, inputs: usize) -> f64 {
        self.places(inputs).len() as f64 / inputs as f64
    }
}

impl Draws {
    /// What was drawn for the inputs of one share: of the concept's pictures, and likewise of those of
    /// its class.
    #[must_use]
    pub fn share(&self, share: Share) -> Self {
        let part = |draws: &Self| {
            let places: Vec<usize> = share.places(draws.pictures.len()).collect();
            draws.part(&places)
        };
        Self { prior: self.prior.as_deref().map(|class| Box::new(part(class))), ..part(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_hold_every_input_once_and_none_is_empty() {
        for inputs in 1..12 {
            for most in 1..15 {
                let shares: Vec<Share> = Share::of(inputs, most).collect();
                assert_eq!(shares.len(), inputs.min(most));
                let places: Vec<usize> = shares.iter().flat_map(|s| s.places(inputs)).collect();
                assert_eq!(places, (0..inputs).collect::<Vec<_>>());
                let sizes: Vec<usize> = shares.iter().map(|s| s.places(inputs).len()).collect();
                assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
                assert!(sizes.iter().all(|size| *size > 0), "{inputs} {most}");
                let whole: f64 = shares.iter().map(|share| share.weight(inputs)).sum();
                assert!((whole - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn pictures_of_the_class_are_shared_out_too() {
        let class = Draws { pictures: vec![5, 6, 7], ..draws(3) };
        let draws = Draws { prior: Some(Box::new(class)), ..draws(3) };
        let share = draws.share(Share { index: 1, count: 2 });
        assert_eq!((&share.pictures, &share.noise), (&vec![1, 2], &vec![1.0, 1.0, 2.0, 2.0]));
        assert_eq!(share.prior.unwrap().pictures, [6, 7]);
        assert_eq!(draws.share(Share::WHOLE), draws);
    }

    fn draws(inputs: usize) -> Draws {
        let noise: Vec<f32> = (0..inputs).flat_map(|input| [input as f32; 2]).collect();
        Draws {
            pictures: (0..inputs).collect(),
            templates: vec![0; inputs],
            flips: vec![false; inputs],
            posterior_noise: noise.clone(),
            noise,
            timesteps: vec![9; inputs],
            ..Draws::default()
        }
    }
}
