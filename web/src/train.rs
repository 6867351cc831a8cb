//! A run of the page: what the page gives to it, and what comes back.

use dvar::{
    concept::AdapterConfig,
    data::{dataset::Dataset, image::Picture, reading::CropMode},
    pipelines::DrawProgress,
    session::{
        CheckedOptions, Moment, Observer, Outcome, Painter, Phase, PreparedRun, RunError, Session,
        Shown, TriedWords, class_pictures, draw_class, run,
    },
    trainer::{Callbacks, Replicas, TrainState},
};
use js_sys::Object;
use wasm_bindgen::JsValue;

use crate::{
    error::PageError,
    helpers::Sharing,
    host::{Page, Steps, png},
    learned::files,
    options::to_js,
    pictures::{self, bytes, property},
    shared::{SharedSamples, SharedSteps},
    studio::Studio,
};

/// How many words are told where some were tried as starts: the one that was taken, and three more.
const WORDS: usize = 4;

/// See [`Studio::train`].
pub async fn train(studio: &Studio, asked: &JsValue, host: JsValue) -> Result<JsValue, PageError> {
    let prepared = prepare(studio, asked)?;
    let sharing = sharing(studio, &prepared, &host)?;
    let page = Page::new(host).with_sharing(sharing);
    let outcome = run(&prepared, &page).await;
    let outcome = outcome.map_err(|error| crate::device::blame(PageError::ended(error)))?;
    finished(&outcome, &page.words.borrow(), prepared.checked.config.window)
}

/// A checked run that has not yet cost anything.
pub fn prepare(studio: &Studio, asked: &JsValue) -> Result<PreparedRun, PageError> {
    let (checked, start) = studio.checked(&property(asked, "options"))?;
    let pictures = property(asked, "pictures");
    let dataset = pictures::dataset(&pictures, checked.size(), checked.config.reading)?;
    let state = bytes(&property(asked, "state"), "`state`")?;
    let state = state.map(|state| TrainState::from_bytes(&state)).transpose()?;
    let draws_before = !property(asked, "skip_before").is_truthy();
    let run = PreparedRun::new(checked, start, dataset, studio.device.clone())?;
    Ok(PreparedRun { state, draws_before, ..run })
}

/// On the CPU vectors are trained by several workers: the run is cut into shares, even where there is
/// only one worker, so that it does not depend on their number. Other methods train weights, which
/// would have to travel at each step.
fn sharing(
    studio: &Studio,
    run: &PreparedRun,
    host: &JsValue,
) -> Result<Option<Sharing>, PageError> {
    let config = &run.checked.config;
    if studio.kind != "cpu" || config.method.adapter() != AdapterConfig::None {
        return Ok(None);
    }
    Sharing::new(property(host, "helpers"), config.train_batch_size).map(Some)
}

impl Observer for Page {
    type Error = PageError;

    async fn phase(&self, phase: Phase) -> Result<(), PageError> {
        self.tell_phase(match phase {
            Phase::Loading => "loading",
            Phase::Encoding => "encoding",
            Phase::Searching => "searching",
            Phase::Drawing => "drawing",
            Phase::Training => "training",
        })
        .await
    }

    async fn searching(&self, done: usize, total: usize) -> Result<(), PageError> {
        self.tell_progress(done, total).await
    }

    fn tried(&self, words: &TriedWords) -> Result<(), PageError> {
        *self.words.borrow_mut() =
            words.best.iter().take(WORDS).map(|(word, _)| word.clone()).collect();
        Ok(())
    }

    async fn class_pictures(
        &self,
        run: &PreparedRun,
    ) -> Result<Option<Dataset>, RunError<PageError>> {
        class_dataset(self, run).await.map_err(RunError::observer)
    }

    async fn replicas<'a>(
        &'a self,
        run: &PreparedRun,
        session: &'a Session,
        _class: Option<&Dataset>,
    ) -> Result<Option<Box<dyn Replicas + 'a>>, RunError<PageError>> {
        Ok(self.sharing.as_ref().map(|sharing| {
            let concept = session.concept(&run.checked.config);
            Box::new(SharedSteps { sharing, session, concept }) as Box<dyn Replicas>
        }))
    }

    fn painter(&self) -> Option<Box<dyn Painter + '_>> {
        let sharing = self.sharing.as_ref()?;
        Some(Box::new(SharedSamples { sharing, page: self }))
    }

    fn drawing(&self) -> Option<&dyn DrawProgress> {
        Some(self)
    }

    async fn samples(&self, Shown { moment, drawn, prompts }: Shown<'_>) -> Result<(), PageError> {
        let (kind, step) = match moment {
            Moment::Before => ("before", 0),
            Moment::During { steps, .. } => ("during", steps),
            Moment::After { steps } => ("after", steps),
            // a page has no such option
            Moment::Unscaled => return Ok(()),
        };
        self.show(kind, step, &drawn.pictures, prompts, drawn.score).await
    }

    fn callbacks<'a>(
        &'a self,
        run: &PreparedRun,
        _resumed: Option<&TrainState>,
    ) -> Result<Callbacks<'a>, PageError> {
        let config = &run.checked.config;
        Ok(vec![Box::new(Steps {
            page: self,
            placeholder_token: config.placeholder_token.clone(),
            adapter: config.method.adapter(),
            save_steps: config.save_steps,
        })])
    }
}

/// What the page is given at the end.
fn finished(outcome: &Outcome, words: &[String], window: usize) -> Result<JsValue, PageError> {
    let finished = to_js(&serde_json::json!({
        "stop": outcome.stop,
        "text": outcome.stop.to_string(),
        "steps": outcome.steps,
        "clip_i_before": outcome.clip_i_before,
        "clip_i": outcome.clip_i,
        "initializer_token": outcome.initializer_token,
        "words": words,
        "window": window,
    }))?;
    let files: Object = files(outcome.kept()).map_err(PageError::thrown)?.into();
    Ok(Object::assign(&finished.into(), &files).into())
}

/// The pictures of the class, drawn by the model, for methods that want some.
async fn class_dataset(page: &Page, run: &PreparedRun) -> Result<Option<Dataset>, PageError> {
    let CheckedOptions { config, model, .. } = &run.checked;
    let Some((_, count)) = class_pictures(config) else { return Ok(None) };
    page.tell_phase("class").await?;
    let numbers: Vec<usize> = (0..count).collect();
    let mut files = Vec::new();
    let keep = |number: usize, picture: &Picture| -> Result<(), RunError<PageError>> {
        let png = png(picture).map_err(RunError::observer)?;
        files.push((format!("class-{number:04}.png"), png));
        Ok(())
    };
    draw_class(config, model, &run.device, &numbers, Some(page), keep)
        .await
        .map_err(PageError::ended)?;
    Ok(Some(Dataset::from_bytes(files, run.checked.size(), CropMode::Center)?))
}
