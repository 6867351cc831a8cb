//! A run from the networks to the last picture: the one sequence for the command line, the page and
//! the tests.

mod error;

use burn::tensor::Tensor;

pub use error::{Cause, RunError};

use super::{
    Best, CheckedOptions, Drawn, InitialVectors, Moment, Observer, Phase, PreparedRun, Rank,
    Samples, Session, SessionError, Shown, Start, WordSearch,
    kept::{FoundWord, Keep, Kept, SamplesBefore},
};
use crate::{
    callbacks::{ScoreMonitor, Scores},
    concept::{Concept, ConceptWeights, LearnedConcept},
    config::{Stopping, TrainConfig},
    early_stopping::StopReason,
    eval::ClipScorer,
    tensor::read,
    trainer::{Callbacks, Replicas, TrainError, Trainer},
};

/// What came of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Steps made, with those whose update fp16 skipped.
    pub steps: usize,
    /// Why it ended.
    pub stop: StopReason,
    /// What was learned last.
    pub last: LearnedConcept,
    /// What is kept in its place, where the best of all scores decides.
    pub best: Option<Best>,
    /// CLIP-I of the samples before training, where they were drawn and there is a scorer.
    pub clip_i_before: Option<f64>,
    /// CLIP-I of the samples after it.
    pub clip_i: Option<f64>,
    /// The word that a search or chance found.
    pub initializer_token: Option<String>,
}

impl Outcome {
    /// The concept that is kept.
    pub fn kept(&self) -> &LearnedConcept {
        self.best.as_ref().map_or(&self.last, |best| &best.concept)
    }
}

/// Makes a run.
///
/// # Errors
///
/// [`RunError`] with what ended it, and with the last good concept where the training had begun.
pub async fn run<O: Observer>(
    prepared: &PreparedRun,
    observer: &O,
) -> Result<Outcome, RunError<O::Error>> {
    let config = &prepared.checked.config;
    observer.phase(Phase::Loading).await.map_err(RunError::observer)?;
    let scorer = prepared.scorer()?;
    let class = observer.class_pictures(prepared).await?;
    let fingerprint = prepared.fingerprint(class.as_ref());
    if let Some(state) = &prepared.state {
        // before anything of the run is changed, and before the other networks are loaded
        state.check_fingerprint(fingerprint)?;
    }
    // a search may take long: only now
    let (initial, found) = initial(prepared, scorer.as_ref(), observer).await?;
    observer.phase(Phase::Encoding).await.map_err(RunError::observer)?;
    let mut session = prepared.session(initial, class.as_ref()).await?;
    let found = try_words(prepared, &mut session, found, observer).await?;
    observer.ready(&session).map_err(RunError::observer)?;

    let painter = observer.painter();
    let samples = Samples {
        watch: observer.drawing(),
        painter: painter.as_deref(),
        ..prepared.samples(&session, scorer.as_ref())
    };
    let gallery = Gallery { samples, observer };
    let trainer = session.trainer(config).with_fingerprint(fingerprint);
    if prepared.draws_before
        && let Some(mut again) = observer.tries_step(prepared)
    {
        try_step(config, &session, &trainer).await?;
        while again() {
            try_step(config, &session, &trainer).await?;
        }
    }
    let before = if prepared.draws_before {
        let clip_i = gallery.show(Moment::Before, &trainer.concept().plain()).await?;
        Some(SamplesBefore { clip_i })
    } else {
        prepared.state.as_ref().map(SamplesBefore::saved).transpose()?.flatten()
    };
    let replicas = observer.replicas(prepared, &session, class.as_ref()).await?;
    let replicas = replicas.as_deref();
    let mut trainer = trainer.with_replicas(replicas);
    observer.phase(Phase::Training).await.map_err(RunError::observer)?;
    let known = (found.as_ref(), before.as_ref());
    let (stop, best) = train(prepared, &session, replicas, known, &gallery, &mut trainer).await?;
    let last = trainer.concept().read().await.map_err(SessionError::from)?;
    let steps = trainer.step();
    let initializer_token = found.map(|found| found.word);
    let clip_i_before = before.and_then(|before| before.clip_i);
    let mut outcome =
        Outcome { steps, stop, last, best, clip_i_before, clip_i: None, initializer_token };
    if observer.concludes(&outcome.stop) {
        let weights = keep(&outcome, trainer.concept(), &session, observer)?;
        outcome.clip_i = gallery.show(Moment::After { steps }, &weights).await?;
        if config.log_unscaled {
            gallery.show(Moment::Unscaled, &weights).await?;
        }
    }
    Ok(outcome)
}

/// Where the vectors start, after the vocabulary was searched where it must be, and the word that a
/// search or chance found: of a run that goes on, the one that it had found.
async fn initial<O: Observer>(
    prepared: &PreparedRun,
    scorer: Option<&ClipScorer>,
    observer: &O,
) -> Result<(InitialVectors, Option<FoundWord>), RunError<O::Error>> {
    let CheckedOptions { config, model, .. } = &prepared.checked;
    let from = |found: FoundWord| -> Result<_, RunError<O::Error>> {
        let ids = model.tokenizers()?.initializer_ids(&found.word).map_err(SessionError::from)?;
        Ok((InitialVectors::Tokens(ids), Some(found)))
    };
    // also by chance: another version may know other words to choose from
    let finds = !matches!(prepared.start, Start::Known(_));
    if let Some(state) = prepared.state.as_ref().filter(|_| finds)
        && let Some(found) = FoundWord::saved(state)?
    {
        return from(found);
    }
    let rank: Rank = match &prepared.start {
        Start::Known(initial) => return Ok((initial.clone(), None)),
        Start::Drawn(ids, word) => {
            let found = FoundWord { word: word.clone(), tried: None };
            return Ok((InitialVectors::Tokens(ids.clone()), Some(found)));
        }
        Start::Searched(rank) => *rank,
        // until the objective is there to try them
        Start::Tried(words) => {
            let (ids, _) = words.first().ok_or(SessionError::NoWords)?;
            return Ok((InitialVectors::Tokens(ids.clone()), None));
        }
    };
    let scorer = scorer.ok_or_else(|| SessionError::NoScorer {
        option: "init_strategy",
        what: "the vocabulary",
        model: model.name().into(),
    })?;
    let search = WordSearch::new(config, model, &prepared.dataset, scorer, rank)?;
    observer.phase(Phase::Searching).await.map_err(RunError::observer)?;
    let ranked = observer.search(&search).await?;
    let (word, _) = search.choose(&ranked)?;
    from(FoundWord { word: word.clone(), tried: None })
}

/// Where words are to be tried, lets the vectors start from the one of the lowest loss. A run that goes on
/// has tried them.
async fn try_words<O: Observer>(
    prepared: &PreparedRun,
    session: &mut Session,
    found: Option<FoundWord>,
    observer: &O,
) -> Result<Option<FoundWord>, RunError<O::Error>> {
    let Start::Tried(words) = &prepared.start else { return Ok(found) };
    let tried = match found.and_then(|found| found.tried) {
        Some(tried) => tried,
        None => {
            observer.phase(Phase::Searching).await.map_err(RunError::observer)?;
            let told = async |done, total| {
                observer.searching(done, total).await.map_err(RunError::observer)
            };
            session.start_from_best_of(&prepared.checked.config, words, told).await?
        }
    };
    observer.tried(&tried).map_err(RunError::observer)?;
    Ok(FoundWord::best_of(tried))
}

/// Computes a step's gradient and its evaluation, and keeps neither.
async fn try_step(
    config: &TrainConfig,
    session: &Session,
    trainer: &Trainer<'_>,
) -> Result<(), TrainError> {
    trainer.try_gradient().await?;
    if config.stopping.evaluates() {
        read(Tensor::cat(session.evaluation_losses(trainer.concept(), 0), 0)).await?;
    }
    Ok(())
}

/// Trains from the start or from the saved state, and finds the best concept on the way.
async fn train<O: Observer>(
    prepared: &PreparedRun,
    session: &Session,
    replicas: Option<&dyn Replicas>,
    (found, before): (Option<&FoundWord>, Option<&SamplesBefore>),
    gallery: &Gallery<'_, O>,
    trainer: &mut Trainer<'_>,
) -> Result<(StopReason, Option<Best>), RunError<O::Error>> {
    let config = &prepared.checked.config;
    let state = prepared.state.as_ref();
    let earlier = state.filter(|_| config.stopping == Stopping::Baseline);
    let earlier = earlier.map(|state| gallery.observer.earlier_best(state)).transpose();
    let mut best = earlier.map_err(RunError::observer)?.flatten();

    let mut callbacks: Callbacks<'_> = Vec::new();
    if config.stopping.evaluates() {
        callbacks.push(session.deterministic_eval_by(config, replicas));
    }
    if let Some(interval) = config.sample_frequency {
        let best = (config.stopping == Stopping::Baseline).then_some(&mut best);
        let mut monitor = Monitor { gallery, best };
        let score = async move |concept: &Concept, steps| {
            let scored = monitor.score(concept, steps).await;
            scored.map_err(|error| error.through("score-monitor"))
        };
        let scores = ScoreMonitor::new(score).every(interval);
        callbacks.push(Box::new(match config.stopping {
            Stopping::ClipS => scores.stop_when(config.patience.clone()),
            _ => scores,
        }));
    }
    let own = gallery.observer.callbacks(prepared, state);
    callbacks.extend(own.map_err(RunError::observer)?);
    if let Some(state) = state {
        trainer.restore(state, &mut callbacks)?;
    }
    // only now: a state that lacks them is no reason to refuse it
    if let Some(found) = found {
        callbacks.push(Box::new(Kept(found)));
    }
    if let Some(before) = before {
        callbacks.push(Box::new(Kept(before)));
    }
    if let Some(mark) = &prepared.model_mark {
        callbacks.push(Box::new(Kept(mark)));
    }
    let trained = match state.and_then(|state| config.trainer.end_of(state)) {
        Some(stop) => Ok(stop),
        None => trainer.train(&mut callbacks).await,
    };
    drop(callbacks);
    match trained {
        Ok(stop) => Ok((stop, best)),
        // where the device is gone, so are the vectors
        Err(error) => {
            let last_good = trainer.concept().read().await.ok();
            Err(RunError::from(error).with_last_good(last_good))
        }
    }
}

/// The concept that is kept, ready for the networks: the best one, or else the last.
fn keep<O: Observer>(
    outcome: &Outcome,
    last: &Concept,
    session: &Session,
    observer: &O,
) -> Result<ConceptWeights, RunError<O::Error>> {
    let Some(best) = &outcome.best else { return Ok(last.plain()) };
    observer.keep(best).map_err(RunError::observer)?;
    let LearnedConcept { embedding, adapter } = &best.concept;
    let (unet, device) = (&session.objective.unet, session.objective.device());
    let weights = ConceptWeights::from_learned(embedding, adapter.as_ref(), unet, &device);
    Ok(weights.map_err(SessionError::from)?)
}

/// Draws pictures and shows them to the observer.
struct Gallery<'a, O> {
    samples: Samples<'a>,
    observer: &'a O,
}

impl<O: Observer> Gallery<'_, O> {
    /// The pictures' score, where there is a scorer.
    async fn show(
        &self,
        moment: Moment<'_>,
        weights: &ConceptWeights,
    ) -> Result<Option<f64>, RunError<O::Error>> {
        Ok(self.drawn(moment, weights).await?.score)
    }

    /// The pictures, with their scores.
    async fn drawn(
        &self,
        moment: Moment<'_>,
        weights: &ConceptWeights,
    ) -> Result<Drawn, RunError<O::Error>> {
        self.observer.phase(Phase::Drawing).await.map_err(RunError::observer)?;
        let drawn = match moment {
            Moment::Unscaled => self.samples.draw_unscaled(weights).await?,
            _ => self.samples.draw(weights).await?,
        };
        let shown = Shown { moment, drawn: &drawn, prompts: self.samples.prompts() };
        self.observer.samples(shown).await.map_err(RunError::observer)?;
        Ok(drawn)
    }
}

/// Draws, scores and shows the concept on the way.
struct Monitor<'a, O> {
    gallery: &'a Gallery<'a, O>,
    /// Where the best concept is wanted.
    best: Option<&'a mut Option<Best>>,
}

impl<O: Observer> Monitor<'_, O> {
    async fn score(
        &mut self,
        concept: &Concept,
        steps: usize,
    ) -> Result<Scores, RunError<O::Error>> {
        let learned = concept.read().await.map_err(SessionError::from)?;
        let moment = Moment::During { steps, concept: &learned };
        let Drawn { score, clip_t, .. } = self.gallery.drawn(moment, &concept.plain()).await?;
        self.gallery.observer.phase(Phase::Training).await.map_err(RunError::observer)?;
        if let (Some(best), Some(score)) = (&mut self.best, score)
            // of equal scores, the earliest
            && best.as_ref().is_none_or(|best| score > best.score)
        {
            **best = Some(Best { steps, score, concept: learned });
        }
        let scores = [("clip_i", score), ("clip_t", clip_t)];
        Ok(scores.into_iter().filter_map(|(name, score)| Some((name, score?))).collect())
    }
}
