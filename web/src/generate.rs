//! Pictures of a learned concept.

use dvar::{
    concept::LearnedAdapter,
    config::{DrawingAdvice, TrainOptions},
    data::templates::fill,
    embedding,
    pipelines::{DrawProgress, ModelFolder, PipelineError, SamplingOptions},
    session::{Generator, RunError, advice, check_sampling, tokenizers_with},
    trainer::LocalBoxFuture,
};
use js_sys::Array;
use wasm_bindgen::JsValue;

use crate::{
    error::PageError,
    host::{Page, png},
    learned::file,
    pictures::{bytes, property},
    prompts,
    studio::Studio,
};

/// More in one go is a mistake; the page can ask again.
const MOST: u64 = 64;

/// See [`Studio::generate`].
pub async fn generate(
    studio: &Studio,
    learned: &[u8],
    request: &JsValue,
    host: JsValue,
) -> Result<JsValue, PageError> {
    let embedding = embedding::read(learned, embedding::FILE_NAME)?;
    let adapter = bytes(&property(request, "adapter"), "`adapter`")?
        .map(|adapter| LearnedAdapter::from_bytes(&adapter, "the adapter"))
        .transpose()?;
    let token = embedding.placeholder_token().to_owned();
    let prompt = property(request, "prompt").as_string().unwrap_or_default();
    let prompt = fill(&prompt, &token);
    let tokenizers = tokenizers_with(&studio.model, std::slice::from_ref(&embedding))?;
    if tokenizers.words_in(&prompt).is_empty() {
        return Err(PageError::input(format!(
            "the prompt does not contain `{token}`, the token of this concept; write it, or `{{}}` in its place"
        )));
    }
    prompts::check(&tokenizers, &prompt).map_err(PageError::input)?;
    let advised = advice(&studio.model, &TrainOptions::default())?;
    // as a run takes them
    let model = studio.model.clone().with_beta_schedule(advised.training.beta_schedule)?;
    let model = model.with_prediction_type(advised.training.prediction_type)?;
    let options = sampling_options(&model, &advised, request)?;
    check_sampling(&options, &model)?;
    let count = whole(request, "count")?.unwrap_or(1);
    if !(1..=MOST).contains(&count) {
        let message = format!("`count` is {count}; it must be from 1 to {MOST}");
        return Err(PageError::option("count", message));
    }
    let count = count as usize;
    let first = whole(request, "first")?.map_or(0, |first| first as usize);
    let end = whole(request, "end")?.map_or(count, |end| count.min(end as usize));

    let (adapter, device) = (adapter.as_ref(), &studio.device);
    let generator = Generator::with_tokenizers(&model, tokenizers, &[embedding], adapter, device)?;
    let page = Page::new(host);
    let files = Array::new();
    for number in first..end {
        let one = OneOf { page: &page, number: number - first, count: end - first };
        let prompt = std::slice::from_ref(&prompt);
        let drawn = generator.draw(number, prompt, None, &options, Some(&one)).await;
        for picture in drawn.map_err(ended)? {
            files.push(&file(&png(&picture)?));
        }
    }
    Ok(files.into())
}

/// What the page threw while it was told of a step, or else the error.
fn ended(error: PipelineError) -> PageError {
    crate::device::blame(PageError::ended(RunError::from(error)))
}

fn sampling_options(
    model: &ModelFolder,
    advised: &TrainOptions,
    request: &JsValue,
) -> Result<SamplingOptions, PageError> {
    let advice = DrawingAdvice::new(advised)?;
    let size = model.native_resolution();
    let steps = whole(request, "num_inference_steps")?.map(|steps| steps as usize);
    let guidance_scale = property(request, "guidance_scale").as_f64();
    Ok(SamplingOptions {
        scheduler: advice.scheduler.unwrap_or(model.scheduler().kind()),
        num_inference_steps: steps.unwrap_or(advice.num_inference_steps),
        guidance_scale: guidance_scale.unwrap_or(advice.guidance_scale),
        eta: 0.0,
        height: size,
        width: size,
        seed: whole(request, "seed")?.unwrap_or(0),
    })
}

/// A whole number that the page may give.
fn whole(request: &JsValue, name: &str) -> Result<Option<u64>, PageError> {
    let value = property(request, name);
    if value.is_null_or_undefined() {
        return Ok(None);
    }
    match value.as_f64() {
        Some(number) if number >= 0.0 && number.fract() == 0.0 && number <= 2_f64.powi(53) => {
            Ok(Some(number as u64))
        }
        _ => Err(PageError::option(name, format!("`{name}` must be a whole number from 0 on"))),
    }
}

/// Tells the page of one picture among several.
pub struct OneOf<'a> {
    pub page: &'a Page,
    pub number: usize,
    pub count: usize,
}

impl DrawProgress for OneOf<'_> {
    fn denoised<'a>(
        &'a self,
        done: usize,
        total: usize,
    ) -> LocalBoxFuture<'a, Result<(), PipelineError>> {
        self.page.denoised(self.number * total + done, self.count * total)
    }
}
