//! A step and an evaluation, shared out among several that compute: devices, or a page's workers.
//!
//! The concept's parameters go out and gradients come back, both on the host; the frozen networks and
//! the data are where a replica is. Parts are added in the order of the shares, so that it makes no
//! difference who computed them.

use serde::{Deserialize, Serialize};

use super::{LocalBoxFuture, TrainError};
use crate::concept::{Concept, HostTensor};

/// What is computed of each share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Task {
    /// Loss and gradient.
    Gradient {
        /// Which of the run's micro-batches, from 0.
        micro_batch: usize,
        /// The gradient is taken of the loss times this, where there is one, and divided by it.
        scale: Option<f64>,
    },
    /// The losses of this evaluation of the run, counted from 0.
    Evaluation(usize),
}

/// What was computed of one share: its part of what would have come of the whole batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// The loss; of an evaluation also that of each interval of time steps with `triple`. The losses of
    /// the whole batch are the sums over all parts.
    pub losses: Vec<f32>,
    /// Of an evaluation with `each_input`: the losses of the share's inputs, for each round.
    pub inputs: Vec<Vec<f32>>,
    /// For each parameter, as the losses to be added up; empty for an evaluation.
    pub gradients: Vec<HostTensor>,
}

/// Whoever computes all shares of a batch.
pub trait Replicas {
    /// What came of each share, in the shares' order. `parameters` are those of a
    /// [`Concept`](Concept::parameters), in their order.
    ///
    /// # Errors
    ///
    /// [`TrainError`] if one that computes fails; says which.
    fn parts<'a>(
        &'a self,
        parameters: &'a [HostTensor],
        task: Task,
    ) -> LocalBoxFuture<'a, Result<Vec<Part>, TrainError>>;
}

impl Part {
    /// What comes of the whole batch.
    ///
    /// # Errors
    ///
    /// What [`Replicas::parts`] gives, and [`TrainError::Device`] if a parameter cannot be read.
    pub async fn of_all(
        replicas: &dyn Replicas,
        concept: &Concept,
        task: Task,
    ) -> Result<Self, TrainError> {
        let parameters = concept.read_parameters().await?;
        let parts = replicas.parts(&parameters, task).await?;
        Ok(parts.into_iter().reduce(Self::plus).unwrap_or_default())
    }

    fn plus(mut self, next: Self) -> Self {
        add(&mut self.losses, &next.losses);
        for (sum, gradient) in self.gradients.iter_mut().zip(&next.gradients) {
            add(&mut sum.values, &gradient.values);
        }
        for (inputs, more) in self.inputs.iter_mut().zip(next.inputs) {
            inputs.extend(more);
        }
        self
    }
}

fn add(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_in_their_order_and_inputs_put_behind_each_other() {
        let part = |loss: f32, inputs: [&[f32]; 2]| Part {
            losses: vec![loss, 2.0 * loss],
            inputs: inputs.map(<[f32]>::to_vec).into(),
            gradients: vec![HostTensor { name: "v".into(), shape: [1, 1], values: vec![loss] }],
        };
        let parts =
            [part(1e8, [&[1.0], &[4.0]]), part(-1e8, [&[2.0], &[5.0]]), part(1.0, [&[], &[6.0]])];
        let sum = parts.into_iter().reduce(Part::plus).unwrap();
        assert_eq!(sum, part(1.0, [&[1.0, 2.0], &[4.0, 5.0, 6.0]]));
    }
}
