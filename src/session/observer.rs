//! Who watches a run: the command line, a page, a test.

use std::fmt::Debug;

use super::{
    Best, Drawn, Painter, PreparedRun, RankedWords, RunError, Session, TriedWords, WordSearch,
};
use crate::{
    concept::LearnedConcept,
    data::dataset::Dataset,
    early_stopping::StopReason,
    pipelines::DrawProgress,
    trainer::{Callbacks, Replicas, TrainState},
};

/// What a run does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The networks that only score are loaded.
    Loading,
    /// The other networks are loaded and the pictures encoded.
    Encoding,
    /// The word to start from is found.
    Searching,
    /// Pictures are drawn.
    Drawing,
    /// Steps are made.
    Training,
}

/// When pictures were drawn.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    /// Before the first step.
    Before,
    /// On the way, after so many steps, by this concept.
    During {
        /// Steps made, with those whose update fp16 skipped.
        steps: usize,
        /// What was learned so far.
        concept: &'a LearnedConcept,
    },
    /// At the end, by the concept that is kept.
    After {
        /// Steps made, likewise.
        steps: usize,
    },
    /// At the end, without guidance.
    Unscaled,
}

/// Pictures of a run.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// When they were drawn.
    pub moment: Moment<'a>,
    /// The pictures and their score.
    pub drawn: &'a Drawn,
    /// What each was drawn from.
    pub prompts: Vec<String>,
}

/// Takes part in a run: it is told of what happens, keeps what comes of it, and may end it by an
/// error, which comes out of [`run`](super::run) as it is.
#[expect(async_fn_in_trait, reason = "a run stays on one thread")]
pub trait Observer {
    /// What may go wrong here.
    type Error: Debug + Send + Sync + 'static;

    /// Another part of the run begins.
    async fn phase(&self, _phase: Phase) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Searches the vocabulary, or knows the answer from an earlier run.
    async fn search(&self, search: &WordSearch<'_>) -> Result<RankedWords, RunError<Self::Error>> {
        let told =
            async |done, total| self.searching(done, total).await.map_err(RunError::observer);
        search.ranked(told).await
    }

    /// `done` of `total` are made of what finds the word to start from: words scored, or inputs
    /// evaluated.
    async fn searching(&self, _done: usize, _total: usize) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Words were tried as starts, now or before the run was resumed.
    fn tried(&self, _words: &TriedWords) -> Result<(), Self::Error> {
        Ok(())
    }

    /// The pictures of the concept's class, drawn by the model or given; none for methods without.
    async fn class_pictures(
        &self,
        run: &PreparedRun,
    ) -> Result<Option<Dataset>, RunError<Self::Error>>;

    /// Everything is loaded and nothing drawn or trained yet.
    fn ready(&self, _session: &Session) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Who computes the steps and evaluations, where they are shared out: the session itself and
    /// replicas of it. `class` are the pictures of the concept's class, where there are any.
    async fn replicas<'a>(
        &'a self,
        _run: &PreparedRun,
        _session: &'a Session,
        _class: Option<&Dataset>,
    ) -> Result<Option<Box<dyn Replicas + 'a>>, RunError<Self::Error>> {
        Ok(None)
    }

    /// Whether a step is tried before the first samples are drawn, of which nothing is kept. Where both take
    /// long, it shows first whether the memory suffices, and how long the steps will take. What is given
    /// here is called when it is made, and says whether to make it again.
    fn tries_step<'a>(&'a self, _run: &'a PreparedRun) -> Option<Box<dyn FnMut() -> bool + 'a>> {
        None
    }

    /// Told of each denoising step of the samples, if anyone is.
    fn drawing(&self) -> Option<&dyn DrawProgress> {
        None
    }

    /// Who draws the samples together with others, where they are shared out.
    fn painter(&self) -> Option<Box<dyn Painter + '_>> {
        None
    }

    /// Pictures were drawn.
    async fn samples(&self, _shown: Shown<'_>) -> Result<(), Self::Error> {
        Ok(())
    }

    /// What takes part in the training, after the criterion and the scores, in the order of its
    /// turns. `resumed` is the state that the run goes on from. A callback of the observer's own
    /// gives its errors by [`RunError::through`].
    fn callbacks<'a>(
        &'a self,
        _run: &PreparedRun,
        _resumed: Option<&TrainState>,
    ) -> Result<Callbacks<'a>, Self::Error> {
        Ok(Vec::new())
    }

    /// The best concept of the parts of this run that were made before it was resumed.
    fn earlier_best(&self, _resumed: &TrainState) -> Result<Option<Best>, Self::Error> {
        Ok(None)
    }

    /// Whether the last pictures are drawn after such an end.
    fn concludes(&self, _stop: &StopReason) -> bool {
        true
    }

    /// The best concept is kept in place of the last one.
    fn keep(&self, _best: &Best) -> Result<(), Self::Error> {
        Ok(())
    }
}
