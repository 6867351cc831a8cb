//! What of a run is shared out: its steps, its evaluations and its samples.

use dvar::{
    concept::{Concept, ConceptWeights, HostTensor},
    data::image::Picture,
    embedding::EmbeddingError,
    objective::Share,
    pipelines::PipelineError,
    session::{Painter, RunError, Samples, Session, sampling_options},
    tensor::DeviceError,
    trainer::{LocalBoxFuture, Part, Replicas, Task, TrainError},
};
use js_sys::Uint8Array;
use wasm_bindgen::JsValue;

use crate::{
    error::PageError,
    generate::OneOf,
    helpers::{Sharing, work},
    host::Page,
    part::{read, values},
};

/// The steps and evaluations of a run in shares: one for each input of a step, however many workers
/// there are, and as many of an evaluation.
pub struct SharedSteps<'a> {
    pub sharing: &'a Sharing,
    pub session: &'a Session,
    pub concept: Concept,
}

impl SharedSteps<'_> {
    async fn of_all(&self, parameters: &[HostTensor], task: Task) -> Result<Vec<Part>, PageError> {
        let most = self.session.draws.batch_size();
        let shares: Vec<Share> = self.session.shares(task, most).collect();
        let kind = match task {
            Task::Gradient { .. } => "gradient",
            Task::Evaluation(_) => "evaluation",
        };
        let sent = values(parameters.iter().map(|parameter| parameter.values.as_slice()));
        let work = work(kind, sent, ("task", serde_json::to_string(&task)?.into()))?;
        let own = async |share: usize, _| {
            Ok(self.session.part(&self.concept, parameters, task, shares[share]).await?)
        };
        self.sharing.shares(&work, shares.len(), own, |part| read(part, parameters)).await
    }
}

impl Replicas for SharedSteps<'_> {
    fn parts<'a>(
        &'a self,
        parameters: &'a [HostTensor],
        task: Task,
    ) -> LocalBoxFuture<'a, Result<Vec<Part>, TrainError>> {
        Box::pin(async move {
            let parts = self.of_all(parameters, task).await;
            parts.map_err(|error| RunError::observer(error).through("workers"))
        })
    }
}

/// The samples of a run; each is a share.
pub struct SharedSamples<'a> {
    pub sharing: &'a Sharing,
    pub page: &'a Page,
}

impl SharedSamples<'_> {
    async fn of_all(
        &self,
        samples: &Samples<'_>,
        weights: &ConceptWeights,
        guidance: f64,
    ) -> Result<Vec<Picture>, PageError> {
        let mut vectors = Vec::new();
        for each in &weights.vectors {
            let data = each.clone().inner().into_data_async().await.map_err(DeviceError::new);
            vectors.push(data.map_err(EmbeddingError::from)?.iter::<f32>().collect::<Vec<_>>());
        }
        let sent = values(vectors.iter().map(Vec::as_slice));
        let work = work("picture", sent, ("guidance", guidance.into()))?;
        let own = async |number, count| {
            let watch = OneOf { page: self.page, number, count };
            Ok(samples.picture(number, weights, guidance, Some(&watch)).await?)
        };
        let size = sampling_options(samples.config, samples.model);
        let read = |pixels: &JsValue| {
            let pixels = Uint8Array::new(pixels).to_vec();
            Ok(vec![Picture::from_rgb(size.width, size.height, pixels)?])
        };
        let count = samples.prompts().len();
        Ok(self.sharing.shares(&work, count, own, read).await?.concat())
    }
}

impl Painter for SharedSamples<'_> {
    fn paint<'a>(
        &'a self,
        samples: &'a Samples<'a>,
        weights: &'a ConceptWeights,
        guidance: f64,
    ) -> LocalBoxFuture<'a, Result<Vec<Picture>, PipelineError>> {
        Box::pin(async move {
            let pictures = self.of_all(samples, weights, guidance).await;
            pictures.map_err(|error| RunError::observer(error).through_drawing())
        })
    }
}
