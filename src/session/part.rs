//! What a session computes of a share, for its own run or as a replica of another session.

use burn::tensor::Tensor;

use super::Session;
use crate::{
    concept::{Concept, HostTensor},
    objective::{DrawSource, Share},
    tensor::read,
    trainer::{Part, Task, TrainError},
};

impl Session {
    /// The shares of a task's batch, in their order: so many, or as many as it has inputs.
    pub fn shares(&self, task: Task, most: usize) -> impl Iterator<Item = Share> + use<> {
        let inputs = match task {
            Task::Gradient { .. } => self.draws.batch_size(),
            Task::Evaluation(_) => self.evaluation_draws.batch_size,
        };
        Share::of(inputs, most)
    }

    /// What comes of one share where the concept's parameters are these. `concept` is one of this
    /// session's, whatever its own parameters are.
    ///
    /// # Errors
    ///
    /// [`TrainError::Device`] if the device fails.
    pub async fn part(
        &self,
        concept: &Concept,
        parameters: &[HostTensor],
        task: Task,
        share: Share,
    ) -> Result<Part, TrainError> {
        let device = self.objective.device();
        let mut concept = concept.clone();
        concept.set(parameters.iter().map(|parameter| parameter.to_device(&device)).collect());
        match task {
            Task::Gradient { micro_batch, scale } => {
                self.gradient_part(&concept, micro_batch, scale, share).await
            }
            Task::Evaluation(evaluation) => self.evaluation_part(&concept, evaluation, share).await,
        }
    }

    async fn gradient_part(
        &self,
        concept: &Concept,
        micro_batch: usize,
        scale: Option<f64>,
        share: Share,
    ) -> Result<Part, TrainError> {
        let draws = self.draws.draw(micro_batch);
        let batch = self.objective.batch(&draws.share(share));
        let loss = self.objective.loss(&concept.tracked(), &batch);
        let loss = loss.mul_scalar(share.weight(draws.pictures.len()));
        let mut gradients = Vec::new();
        for (parameter, gradient) in concept.parameters().iter().zip(concept.gradient(&loss, scale))
        {
            gradients.push(HostTensor::read(&parameter.name, gradient).await?);
        }
        Ok(Part { losses: read(loss.inner()).await?, inputs: Vec::new(), gradients })
    }

    async fn evaluation_part(
        &self,
        concept: &Concept,
        evaluation: usize,
        share: Share,
    ) -> Result<Part, TrainError> {
        let (means, of_inputs) =
            self.evaluation.losses(&self.objective, &concept.plain(), evaluation, share);
        let weight = share.weight(self.evaluation_draws.batch_size);
        let losses = read(Tensor::cat(means, 0).mul_scalar(weight)).await?;
        let mut inputs = Vec::new();
        for round in of_inputs {
            inputs.push(read(round).await?);
        }
        Ok(Part { losses, inputs, gradients: Vec::new() })
    }
}
