//! A run, from the networks to the last picture.

use std::cell::RefCell;

use dvar::{
    callbacks::{ScoreMonitor, Scores},
    concept::{Concept, LearnedConcept},
    config::Stopping,
    data::{
        dataset::{CropMode, Dataset},
        image::Picture,
    },
    early_stopping::StopReason,
    embedding,
    eval::ClipScorer,
    session::{
        Drawn, Outlook, Samples, Session, Settings, Tokens, class_pictures, draw_class, fingerprint,
    },
    trainer::{Callback, TrainError, TrainState, Trainer},
};
use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::JsValue;

use crate::{
    error::PageError,
    host::{Page, Shown, png},
    options::to_js,
    pictures::{self, bytes, property},
    studio::Studio,
};

/// See [`Studio::train`].
pub async fn train(studio: &Studio, run: &JsValue, host: JsValue) -> Result<JsValue, PageError> {
    let page = Page::new(host);
    let trained = Run::new(studio, run, &page)?.train().await;
    trained.map_err(|error| page.blame(error))
}

/// A checked run that has not yet cost anything.
struct Run<'a> {
    studio: &'a Studio,
    page: &'a Page,
    settings: Settings,
    outlook: Outlook,
    dataset: Dataset,
    state: Option<TrainState>,
    skip_before: bool,
}

impl<'a> Run<'a> {
    fn new(studio: &'a Studio, run: &JsValue, page: &'a Page) -> Result<Self, PageError> {
        let (settings, outlook) = studio.settings(&property(run, "options"))?;
        let pictures = property(run, "pictures");
        let dataset = pictures::dataset(&pictures, outlook.size, settings.config.crop)?;
        let state = bytes(&property(run, "state"), "`state`")?;
        let state = state.map(|state| TrainState::from_bytes(&state)).transpose()?;
        let skip_before = property(run, "skip_before").is_truthy();
        Ok(Self { studio, page, settings, outlook, dataset, state, skip_before })
    }

    async fn train(self) -> Result<JsValue, PageError> {
        let Self { studio, page, settings, outlook, dataset, state, skip_before } = self;
        let Settings { options, config, model } = settings;
        let device = &studio.device;
        page.phase("loading").await?;
        let scorer = ClipScorer::load(&model, device)?;
        let class = class_dataset(studio, &config, page, outlook.size).await?;
        page.phase("encoding").await?;
        // a search for the start was refused
        let start = outlook.start.ok_or_else(|| PageError::other("the start is open"))?;
        let tokens = Tokens::new(&config, &model, start)?;
        let session = Session::new(&config, &model, tokens, &dataset, class.as_ref(), device);
        let session = session.await?;
        let pictures = std::iter::once(&dataset).chain(&class);
        let fingerprint = fingerprint(&options.to_toml()?, pictures);
        let scorer = scorer.as_ref();
        let samples = Samples {
            config: &config,
            model: &model,
            objective: &session.objective,
            scorer: scorer.map(|clip| (clip, clip.image_features(dataset.pictures()))),
            watch: Some(page),
        };
        let monitor = Monitor { page, samples: &samples, failed: RefCell::default() };
        let mut trainer = session.trainer(&config).with_fingerprint(fingerprint);
        let before = match skip_before {
            true => None,
            false => monitor.show("before", 0, trainer.concept()).await?.score,
        };

        page.phase("training").await?;
        let mut callbacks: Vec<Box<dyn Callback<Concept, TrainState> + '_>> = Vec::new();
        if config.stopping == Stopping::Dvar {
            callbacks.push(session.deterministic_eval(&config));
        }
        if let Some(interval) = config.sample_frequency {
            let score = async |concept: &Concept, updates| monitor.score(concept, updates).await;
            let scores = ScoreMonitor::new(score).every(interval);
            callbacks.push(Box::new(match config.stopping {
                Stopping::ClipS => scores.stop_when(config.patience.clone()),
                _ => scores,
            }));
        }
        callbacks.push(Box::new(Shown {
            page,
            placeholder_token: config.placeholder_token.clone(),
            adapter: config.method.adapter(),
            save_steps: config.save_steps,
        }));
        if let Some(state) = &state {
            trainer.restore(state, &mut callbacks)?;
        }
        let over = state.and_then(|state| state.stop);
        let stop = match over.filter(|stop| !matches!(stop, StopReason::Interrupted { .. })) {
            Some(stop) => stop,
            None => {
                let trained = trainer.train(&mut callbacks).await;
                drop(callbacks);
                match trained {
                    Ok(stop) => stop,
                    Err(error) => return Err(monitor.blame(error)),
                }
            }
        };
        let after = monitor.show("after", trainer.step(), trainer.concept()).await?.score;
        finished(&trainer, &stop, before, after).await
    }
}

/// What the page is given at the end.
async fn finished(
    trainer: &Trainer<'_>,
    stop: &StopReason,
    before: Option<f64>,
    after: Option<f64>,
) -> Result<JsValue, PageError> {
    let LearnedConcept { embedding, adapter } = trainer.concept().read().await?;
    let finished = to_js(&serde_json::json!({
        "stop": stop,
        "text": stop.to_string(),
        "steps": trainer.step(),
        "clip_i_before": before,
        "clip_i": after,
    }))?;
    let set = |object: &JsValue, name: &str, value: &JsValue| {
        Reflect::set(object, &name.into(), value).map_err(PageError::Thrown)
    };
    let file = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
    set(&finished, "learned", &file(&embedding::write(&embedding)))?;
    if let Some(adapter) = adapter {
        let object = Object::new();
        set(&object, "file", &adapter.file_name().into())?;
        set(&object, "bytes", &file(&adapter.to_bytes()?))?;
        set(&finished, "adapter", &object)?;
    }
    Ok(finished)
}

/// The pictures of the class, drawn by the model, for methods that want some.
async fn class_dataset(
    studio: &Studio,
    config: &dvar::config::TrainConfig,
    page: &Page,
    size: usize,
) -> Result<Option<Dataset>, PageError> {
    let Some((_, count)) = class_pictures(config) else { return Ok(None) };
    page.phase("drawing").await?;
    let numbers: Vec<usize> = (0..count).collect();
    let mut files = Vec::new();
    let keep = |number: usize, picture: &Picture| -> Result<(), PageError> {
        files.push((format!("class-{number:04}.png"), png(picture)?));
        Ok(())
    };
    draw_class(config, &studio.model, &studio.device, &numbers, Some(page), keep).await?;
    Ok(Some(Dataset::from_bytes(files, size, CropMode::Center)?))
}

/// Draws, scores and shows the concept on the way.
struct Monitor<'a> {
    page: &'a Page,
    samples: &'a Samples<'a>,
    /// What went wrong, before the trainer made words of it.
    failed: RefCell<Option<PageError>>,
}

impl Monitor<'_> {
    async fn show(&self, kind: &str, step: usize, concept: &Concept) -> Result<Drawn, PageError> {
        self.page.phase("drawing").await?;
        let drawn = self.samples.draw(&concept.plain()).await?;
        let prompts = self.samples.prompts();
        self.page.samples(kind, step, &drawn.pictures, prompts, drawn.score).await?;
        Ok(drawn)
    }

    async fn score(&self, concept: &Concept, updates: usize) -> Result<Scores, TrainError> {
        let shown = async {
            let drawn = self.show("during", updates, concept).await?;
            self.page.phase("training").await?;
            Ok(drawn.score.map(|score| ("clip_i", score)).into_iter().collect())
        };
        shown.await.map_err(|error| {
            self.failed.replace(Some(error));
            TrainError::callback("score-monitor", "the samples failed")
        })
    }

    fn blame(&self, error: TrainError) -> PageError {
        self.failed.take().unwrap_or_else(|| error.into())
    }
}
