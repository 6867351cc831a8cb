//! The training objective on inputs that never change (DVAR, section 4): its value depends on
//! the vectors alone, so it shows convergence where the training loss shows noise.

use burn::tensor::Tensor;

use crate::{
    objective::{Batch, DiffusionObjective, Draws},
    rng::{Purpose, Stream},
};

/// What the fixed batch is drawn from, once for a run.
#[derive(Clone, Debug)]
pub struct EvaluationDraws {
    /// The run's seed.
    pub seed: u64,
    /// Inputs evaluated at once.
    pub batch_size: usize,
    /// Rounds over the same inputs, each with time steps of its own.
    pub accumulation_steps: usize,
    /// Training pictures.
    pub pictures: usize,
    /// Caption templates.
    pub templates: usize,
    /// Values in one input's latents.
    pub latent_size: usize,
    /// Steps of the noise schedule.
    pub num_train_timesteps: usize,
}

impl EvaluationDraws {
    /// One [`Draws`] for each round: pictures in turn, templates, flips and noise at random, and
    /// time steps without repetition until all were used.
    pub fn draw(&self) -> Vec<Draws> {
        let mut stream = Stream::new(self.seed, Purpose::Evaluation, 0);
        let values = self.batch_size * self.latent_size;
        let inputs = Draws {
            pictures: (0..self.batch_size).map(|i| i % self.pictures).collect(),
            templates: (0..self.batch_size).map(|_| stream.below(self.templates)).collect(),
            flips: (0..self.batch_size).map(|_| stream.coin()).collect(),
            posterior_noise: stream.normal(values),
            noise: stream.normal(values),
            timesteps: Vec::new(),
        };
        let order = stream.permutation(self.num_train_timesteps);
        let mut timesteps = order.into_iter().cycle();
        (0..self.accumulation_steps)
            .map(|_| Draws {
                timesteps: timesteps.by_ref().take(self.batch_size).collect(),
                ..inputs.clone()
            })
            .collect()
    }
}

/// The prepared batch. Two evaluations of the same vectors on one device give the same bits.
#[derive(Clone, Debug)]
pub struct FixedBatch {
    batches: Vec<Batch>,
}

impl FixedBatch {
    /// Prepares each round's inputs, which then stay on the device.
    pub fn new(objective: &DiffusionObjective, draws: &[Draws]) -> Self {
        Self { batches: draws.iter().map(|draws| objective.batch(draws)).collect() }
    }

    /// The mean objective over all rounds, without gradient, reduced in f32.
    ///
    /// # Shapes
    ///
    /// - vectors: `[num_vectors, width]`
    /// - output: `[1]`
    pub fn loss(&self, objective: &DiffusionObjective, vectors: &Tensor<2>) -> Tensor<1> {
        let vectors = vectors.clone().inner();
        let losses = self.batches.iter().map(|batch| objective.loss(&vectors, batch)).collect();
        Tensor::cat(losses, 0).mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(accumulation_steps: usize) -> Vec<Draws> {
        EvaluationDraws {
            seed: 3,
            batch_size: 4,
            accumulation_steps,
            pictures: 3,
            templates: 57,
            latent_size: 8,
            num_train_timesteps: 10,
        }
        .draw()
    }

    #[test]
    fn rounds_share_everything_but_time_steps() {
        let rounds = draws(3);
        assert_eq!(rounds[0].noise, rounds[2].noise);
        assert_ne!(rounds[0].timesteps, rounds[1].timesteps);
        assert_eq!(rounds[0].pictures, [0, 1, 2, 0]);
    }

    #[test]
    fn more_inputs_than_time_steps_start_over() {
        let used: Vec<usize> = draws(3).into_iter().flat_map(|round| round.timesteps).collect();
        assert_eq!(used.len(), 12);
        assert_eq!(used[10..], used[..2]);
    }
}
