//! The page, as it takes part in a run.

use std::cell::RefCell;

use dvar::{
    concept::{AdapterConfig, Concept, LearnedConcept},
    data::{image::Picture, png::encode_picture},
    early_stopping::{Control, StopReason},
    pipelines::{DrawProgress, PipelineError},
    session::RunError,
    trainer::{Callback, LocalBoxFuture, StepContext, TrainError, TrainState},
};
use js_sys::{Array, Function, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use crate::{
    error::PageError,
    helpers::Sharing,
    learned::{file, files},
    options::to_js,
    pictures::property,
};

#[wasm_bindgen]
extern "C" {
    /// The page's object.
    #[wasm_bindgen(typescript_type = "Host")]
    pub type Host;

    #[wasm_bindgen(method, catch)]
    fn phase(this: &Host, name: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn samples(
        this: &Host,
        kind: &str,
        step: f64,
        pngs: Array,
        prompts: Array,
        clip_i: JsValue,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn step(this: &Host, record: JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn save(
        this: &Host,
        step: f64,
        state: Uint8Array,
        learned: JsValue,
    ) -> Result<JsValue, JsValue>;
}

/// A page's object.
#[derive(Debug)]
pub struct Page {
    host: JsValue,
    /// Where words were tried as starts: the best of them, the best first.
    pub words: RefCell<Vec<String>>,
    /// How the run is shared out, where it is.
    pub sharing: Option<Sharing>,
}

impl Page {
    pub fn new(host: JsValue) -> Self {
        Self { host, words: RefCell::default(), sharing: None }
    }

    /// With a run that is shared out.
    pub fn with_sharing(self, sharing: Option<Sharing>) -> Self {
        Self { sharing, ..self }
    }

    fn host(&self) -> &Host {
        self.host.unchecked_ref()
    }

    /// Waits for what a function of the page gave, whether it is a promise or not.
    async fn wait(&self, called: Result<JsValue, JsValue>) -> Result<JsValue, PageError> {
        let waited = match called {
            Ok(value) => JsFuture::from(Promise::resolve(&value)).await,
            Err(thrown) => Err(thrown),
        };
        waited.map_err(PageError::thrown)
    }

    pub async fn tell_phase(&self, name: &str) -> Result<(), PageError> {
        self.wait(self.host().phase(name)).await.map(drop)
    }

    /// Tells how far the phase is, if the page wants to know.
    pub async fn tell_progress(&self, done: usize, total: usize) -> Result<(), PageError> {
        let progress = property(&self.host, "progress");
        let Some(progress) = progress.dyn_ref::<Function>() else { return Ok(()) };
        let told = progress.call2(&self.host, &(done as f64).into(), &(total as f64).into());
        self.wait(told).await.map(drop)
    }

    pub async fn show(
        &self,
        kind: &str,
        step: usize,
        pictures: &[Picture],
        prompts: Vec<String>,
        clip_i: Option<f64>,
    ) -> Result<(), PageError> {
        let pngs = Array::new();
        for picture in pictures {
            pngs.push(&file(&png(picture)?));
        }
        let prompts: Array = prompts.into_iter().map(JsValue::from).collect();
        let clip_i = clip_i.map_or(JsValue::NULL, JsValue::from);
        let told = self.host().samples(kind, step as f64, pngs, prompts, clip_i);
        self.wait(told).await.map(drop)
    }

    async fn save(&self, state: &TrainState, learned: &LearnedConcept) -> Result<(), PageError> {
        let bytes = Uint8Array::from(&*state.to_bytes()?);
        let learned = files(learned).map_err(PageError::thrown)?;
        self.wait(self.host().save(state.step as f64, bytes, learned)).await.map(drop)
    }
}

/// A picture as a PNG file.
pub fn png(picture: &Picture) -> Result<Vec<u8>, PageError> {
    Ok(encode_picture(picture)?)
}

impl DrawProgress for Page {
    fn denoised<'a>(
        &'a self,
        done: usize,
        total: usize,
    ) -> LocalBoxFuture<'a, Result<(), PipelineError>> {
        Box::pin(async move {
            let told = self.tell_progress(done, total).await;
            told.map_err(|error| RunError::observer(error).through_drawing())
        })
    }
}

/// Shows the page each step and each saved state; ends the run when the page says so.
#[derive(Debug)]
pub struct Steps<'a> {
    pub page: &'a Page,
    pub placeholder_token: String,
    pub adapter: AdapterConfig,
    pub save_steps: usize,
}

impl Steps<'_> {
    const NAME: &'static str = "page";

    fn failed(error: PageError) -> TrainError {
        RunError::observer(error).through(Self::NAME)
    }
}

impl Callback<Concept, TrainState> for Steps<'_> {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn after_update_async<'a>(
        &'a mut self,
        step: StepContext<'a, Concept>,
    ) -> LocalBoxFuture<'a, Result<Control, TrainError>> {
        Box::pin(async move {
            let record = to_js(&*step.record).map_err(Self::failed)?;
            let answer = self.page.wait(self.page.host().step(record)).await;
            let answer = answer.map_err(Self::failed)?;
            Ok(match answer.as_string().as_deref() {
                Some("stop") => {
                    Control::Stop(StopReason::Interrupted { steps: step.record.step + 1 })
                }
                _ => Control::Continue,
            })
        })
    }

    fn wants_state(&self, step: usize, stop: Option<&StopReason>) -> bool {
        stop.is_some() || step.is_multiple_of(self.save_steps)
    }

    fn on_state_async<'a>(
        &'a mut self,
        state: &'a TrainState,
    ) -> LocalBoxFuture<'a, Result<(), TrainError>> {
        Box::pin(async move {
            let parameters = state.parameters.clone();
            let concept = LearnedConcept::new(&self.placeholder_token, self.adapter, parameters);
            let concept = concept.map_err(|error| TrainError::callback(Self::NAME, error))?;
            self.page.save(state, &concept).await.map_err(Self::failed)
        })
    }
}
