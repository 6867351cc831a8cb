//! A family and a source that dvar does not know: a denoiser that reads two text encoders side by
//! side, in a folder that is translated while it is read. All of it is in this file.

use std::{
    borrow::Cow,
    io::Cursor,
    sync::atomic::{AtomicUsize, Ordering},
};

use burn::tensor::{Device, Tensor};
use dvar::{
    concept::{Concept, Method},
    config::MixedPrecision,
    embedding::{self, EmbeddingError, LearnedEmbedding},
    pipelines::{ModelFamily, ModelFolder, PipelineError, TextEncoderPart, text_encoder::clip},
    session::{Generator, SessionError, sampling_options},
    trainer::TrainState,
};
use dvar_models::{
    ModelError,
    weights::{Folder, ModelSource, Tensors, Weights},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use crate::{
    determinism::{bytes, options, prepared, prepared_on, states},
    golden::{assert_close, assert_relative},
    support::{files, tiny_sd, values},
};

/// Stable Diffusion with its text encoder twice.
static TWINS: ModelFamily = ModelFamily {
    name: "twins",
    class_name: "TwinsPipeline",
    recognises: |_| false,
    vae: |_| "vae",
    text_encoders: |_| ["left", "right"].map(twin).into(),
    is_guided: |guidance_scale| guidance_scale > 1.0,
    no_prompt_is_zero: |_| Ok(false),
};

fn twin(key: &'static str) -> TextEncoderPart {
    TextEncoderPart {
        key: Some(key),
        folder: "text_encoder",
        tokenizer: "tokenizer",
        config: clip::config,
        vocabulary: clip::tokenizer,
    }
}

/// The golden Stable Diffusion folder, whose denoiser takes both text encoders' states by halves: it
/// predicts what the golden one does.
#[derive(Debug)]
struct Twins {
    folder: Folder,
    translated: &'static AtomicUsize,
}

impl ModelSource for Twins {
    fn display(&self, file: &str) -> String {
        self.folder.display(file)
    }

    fn has(&self, file: &str) -> bool {
        self.folder.has(file)
    }

    fn read(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        let bytes = self.folder.read(file)?;
        if file != "unet/config.json" {
            return Ok(bytes);
        }
        let mut config: Value = serde_json::from_slice(&bytes).unwrap();
        config["cross_attention_dim"] =
            (2 * config["cross_attention_dim"].as_u64().unwrap()).into();
        Ok(Cow::Owned(config.to_string().into_bytes()))
    }

    fn weights(&self, part: &str) -> Result<Weights, ModelError> {
        if part != "unet" {
            return self.folder.weights(part);
        }
        let file = "unet/diffusion_pytorch_model.safetensors";
        let bytes = self.folder.read(file)?;
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let written: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
            .tensors()
            .into_iter()
            .map(|(name, view)| {
                let (shape, data) = (view.shape().to_vec(), view.data());
                if !name.ends_with("attn2.to_k.weight") && !name.ends_with("attn2.to_v.weight") {
                    return (name, shape, data.to_vec());
                }
                self.translated.fetch_add(1, Ordering::Relaxed);
                let rows = data.as_chunks::<4>().0.chunks(shape[1]);
                let half = |value: &[u8; 4]| (f32::from_le_bytes(*value) / 2.0).to_le_bytes();
                let twice = rows.flat_map(|row| row.iter().chain(row).flat_map(half));
                (name, vec![shape[0], 2 * shape[1]], twice.collect())
            })
            .collect();
        let views = written.iter().map(|(name, shape, data)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        Tensors::read(Cursor::new(bytes), file, self.display(file)).map(Weights::Stored)
    }
}

fn twins() -> ModelFolder {
    static TRANSLATED: AtomicUsize = AtomicUsize::new(0);
    let source = Twins { folder: files("tiny-sd"), translated: &TRANSLATED };
    let model = ModelFolder::with_family(source, "the twins".into(), &TWINS).unwrap();
    model.load_unet(&Device::flex()).unwrap();
    assert!(TRANSLATED.load(Ordering::Relaxed) > 0, "the denoiser attends to no text");
    model
}

#[test]
fn a_family_with_two_text_encoders_predicts_and_learns_as_the_one_that_it_is_made_of() {
    let run = |method| options(MixedPrecision::No, (method, "adamw"), 2, 1);
    let (single, double) = (
        prepared(run(Method::TextualInversion)),
        prepared_on(twins(), run(Method::TextualInversion)),
    );
    let measured = [&single, &double].map(|run| {
        let session = crate::determinism::session_of(run);
        let concept: Concept = session.concept(&run.checked.config);
        let batch = session.objective.batch(&dvar::objective::DrawSource::draw(&session.draws, 0));
        let loss = session.objective.loss(&concept.tracked(), &batch);
        let gradients = loss.backward();
        let gradients = concept.parameters().iter().map(|parameter| {
            let gradient: Tensor<2> = parameter.tracked().grad(&gradients).unwrap();
            (parameter.name.clone(), values(gradient))
        });
        (values(loss.inner()), gradients.collect::<Vec<_>>())
    });
    let [(loss, gradient), (twin_loss, twin_gradients)] = measured;
    assert_close("loss of the twins", &twin_loss, &loss, 0.0, 1e-5);
    let names: Vec<&str> = twin_gradients.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["vectors.left", "vectors.right"]);
    let half: Vec<f64> = gradient[0].1.iter().map(|value| value / 2.0).collect();
    for (name, gradient) in &twin_gradients {
        assert_relative(name, gradient, &half, 1e-4);
    }
}

#[test]
fn a_run_trains_saves_resumes_and_draws_vectors_for_each_text_encoder() {
    let run = |method, steps| {
        prepared_on(twins(), options(MixedPrecision::No, (method, "adamw"), steps, 1))
    };
    for method in [Method::TextualInversion, Method::DreamboothLora] {
        let whole = states(&run(method, 4), None, 2);
        let saved = TrainState::from_bytes(&whole[0].to_bytes().unwrap()).unwrap();
        let names: Vec<&str> = saved.parameters.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names[..2], ["vectors.left", "vectors.right"]);
        let resumed = states(&run(method, 4), Some(&saved), 2);
        assert_eq!(bytes(&whole), bytes(&resumed), "{method:?}");
    }

    let prepared = run(Method::TextualInversion, 2);
    let config = &prepared.checked.config;
    let session = crate::determinism::session_of(&prepared);
    let concept = pollster::block_on(session.concept(config).read()).unwrap();
    let file = embedding::write(&concept.embedding);
    let read = embedding::read(&file, "learned_embeds.safetensors").unwrap();
    assert_eq!(read, concept.embedding);
    assert_eq!(embedding::write(&read), file);

    let (model, device) = (&prepared.checked.model, Device::flex());
    let generator = Generator::load(model, &[read], None, &device).unwrap();
    let drawing = sampling_options(config, model);
    let drawing = dvar::pipelines::SamplingOptions { num_inference_steps: 2, ..drawing };
    let prompts = [format!("a photo of {}", config.placeholder_token)];
    let drawn = pollster::block_on(generator.draw(0, &prompts, None, &drawing, None)).unwrap();
    assert_eq!(drawn.len(), 1);
    for [width, height] in [[drawing.width, 0], [drawing.width + 1, drawing.height]] {
        let drawing = dvar::pipelines::SamplingOptions { width, height, ..drawing };
        let drawn = pollster::block_on(generator.draw(0, &prompts, None, &drawing, None));
        assert!(matches!(drawn, Err(PipelineError::Size { .. })), "{width} x {height}");
    }
}

#[test]
fn vectors_of_other_text_encoders_are_refused_with_the_names_of_these() {
    let width = tiny_sd().embedding_widths().total();
    let single = LearnedEmbedding::new("<a>", vec![0.5; width], 1, width).unwrap();
    let error: EmbeddingError = single.check_fit(&twins()).unwrap_err();
    let told = format!("is {width} wide, the twins takes left {width} and right {width}");
    assert!(error.to_string().contains(&told), "{error}");
    let error = Generator::load(&twins(), &[single], None, &Device::flex()).unwrap_err();
    assert!(matches!(error, SessionError::Embedding(EmbeddingError::Width { .. })), "{error}");
}

#[test]
fn text_encoders_that_do_not_fit_the_denoiser_are_told_together() {
    let error = ModelFolder::with_family(files("tiny-sd"), "sd".into(), &TWINS).unwrap_err();
    let width = tiny_sd().embedding_widths().total();
    let told = format!(
        "the text encoders are left {width} and right {width} wide, the UNet wants {width}"
    );
    assert!(matches!(error, PipelineError::Mismatch { .. }), "{error}");
    assert!(error.to_string().ends_with(&told), "{error}");
}
