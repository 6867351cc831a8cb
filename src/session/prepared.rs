//! A run that has been checked and can begin.

use std::sync::Arc;

use burn::tensor::Device;
use dvar_models::weights::{Folder, ModelSource};

use super::{
    CheckedOptions, InitialVectors, ModelMark, Samples, Session, SessionError, Start, Tokens,
    begun_with,
};
use crate::{
    config::{ConfigError, TrainConfig},
    data::dataset::Dataset,
    embedding,
    eval::ClipScorer,
    fingerprint::Fingerprint,
    pipelines::PipelineError,
    trainer::TrainState,
};

/// A checked run with its pictures, on a device; no network is loaded yet.
#[derive(Clone, Debug)]
pub struct PreparedRun {
    /// Its options and its model.
    pub checked: CheckedOptions,
    /// Where the vectors start.
    pub start: Start,
    /// The concept's pictures.
    pub dataset: Dataset,
    /// The CLIP model that the options name; else the model's own scores, where it has one.
    pub clip: Option<Arc<dyn ModelSource>>,
    /// What computes.
    pub device: Device,
    /// What a resumed run must have been begun with: see [`begun_with`].
    pub begun_with: String,
    /// Where it is known, what saved states say of the model; whoever resumes a run compares it.
    pub model_mark: Option<ModelMark>,
    /// Where an interrupted run goes on from.
    pub state: Option<TrainState>,
    /// Whether pictures are drawn before the first step. If not, their score is what the state knows of
    /// it.
    pub draws_before: bool,
}

impl PreparedRun {
    /// A run from its first step, which draws pictures before it. Where the options name a folder with a
    /// CLIP model, that scores.
    ///
    /// # Errors
    ///
    /// Those of [`begun_with`].
    pub fn new(
        checked: CheckedOptions,
        start: Start,
        dataset: Dataset,
        device: Device,
    ) -> Result<Self, ConfigError> {
        let clip = checked.config.clip.clone();
        let clip = clip.map(|folder| Arc::new(Folder(folder)) as Arc<dyn ModelSource>);
        let begun_with = begun_with(&checked.options)?;
        Ok(Self {
            checked,
            start,
            dataset,
            clip,
            device,
            begun_with,
            model_mark: None,
            state: None,
            draws_before: true,
        })
    }

    /// The CLIP model that scores, where there is one.
    pub(super) fn scorer(&self) -> Result<Option<ClipScorer>, PipelineError> {
        match &self.clip {
            Some(files) => ClipScorer::open(&**files, ".", &self.device).map(Some),
            None => ClipScorer::load(&self.checked.model, &self.device),
        }
    }

    /// Loads the networks.
    pub(super) async fn session(
        &self,
        initial: InitialVectors,
        class: Option<&Dataset>,
    ) -> Result<Session, SessionError> {
        let CheckedOptions { config, model, .. } = &self.checked;
        let tokens = Tokens::new(config, model, initial)?;
        Session::new(config, model, tokens, &self.dataset, class, &self.device).await
    }

    /// A session that computes parts of the steps of the run's own, with the same data and draws. It is
    /// told the parameters each time; its own start anywhere. `class` as for [`Session::new`].
    ///
    /// # Errors
    ///
    /// Those of [`Tokens::new`] and [`Session::new`].
    pub async fn replica(&self, class: Option<&Dataset>) -> Result<Session, SessionError> {
        let CheckedOptions { config, model, .. } = &self.checked;
        let num_vectors = Some(self.start.num_vectors(config));
        let config = TrainConfig { num_vectors, ..config.clone() };
        let tokens = Tokens::new(&config, model, InitialVectors::first_token(model))?;
        Session::new(&config, model, tokens, &self.dataset, class, &self.device).await
    }

    /// See [`fingerprint`](super::fingerprint); also of the vectors where they start from a file's, which
    /// may hold others when the run goes on.
    pub(super) fn fingerprint(&self, class: Option<&Dataset>) -> u64 {
        let pictures = std::iter::once(&self.dataset).chain(class);
        let fingerprint = super::fingerprint(&self.begun_with, pictures);
        match &self.start {
            Start::Known(InitialVectors::Learned(vectors)) => {
                Fingerprint(fingerprint).and(&embedding::write(vectors)).0
            }
            _ => fingerprint,
        }
    }

    /// How the run draws.
    pub fn samples<'a>(
        &'a self,
        session: &'a Session,
        scorer: Option<&'a ClipScorer>,
    ) -> Samples<'a> {
        let (pictures, round) = (self.dataset.pictures(), self.dataset.round());
        Samples {
            config: &self.checked.config,
            model: &self.checked.model,
            objective: &session.objective,
            scorer: scorer.map(|clip| (clip, clip.image_features(pictures).select(round))),
            watch: None,
            painter: None,
        }
    }
}
