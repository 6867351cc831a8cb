//! Stable Diffusion XL on a very small model that the tests make: against diffusers 0.35.2, and whole
//! runs.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use dvar::{
    concept::Method,
    config::{MixedPrecision, TextEncoders, TrainOptions},
    embedding,
    pipelines::{ModelFolder, PromptIds, TimeIds},
    session::Generator,
    trainer::TrainState,
};
use tempfile::TempDir;

use crate::{
    determinism::{options, prepared_on, session_of, states},
    golden::{Tensors, assert_close, assert_relative},
    support::values,
};

#[path = "../support/made_xl.rs"]
mod model;

fn made() -> (TempDir, ModelFolder) {
    let folder = TempDir::new().unwrap();
    model::write(folder.path());
    let opened = ModelFolder::open(folder.path()).unwrap();
    (folder, opened)
}

fn random<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
    let values = model::numbers(name, shape.iter().product()).into_iter();
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

#[test]
fn a_made_sdxl_predicts_and_learns_as_diffusers_does() {
    let golden = Tensors::at(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/sdxl/golden.safetensors"
    )));
    let (device, about) = (Device::flex(), model::description()["about"].clone());
    let (_folder, model) = made();
    let text = |key: &str| about[key].as_str().unwrap().to_string();
    let mut tokenizers = model.tokenizers().unwrap();
    let starts = tokenizers.initializer_ids(&text("initializer")).unwrap();
    tokenizers.add_placeholder(&text("placeholder"), 1).unwrap();
    let encoder = model.load_prompt_encoder(tokenizers, &device).unwrap();
    let tables = encoder.token_tables().into_iter().zip(&starts.0);
    let vectors: Vec<_> = tables
        .map(|(table, ids)| table.narrow(0, ids[0] as usize, 1).autodiff().require_grad())
        .collect();
    let prompts = about["prompts"].as_array().unwrap().iter();
    let prompts = prompts.map(|p| p.as_str().unwrap().replace("{}", &text("placeholder")));
    let ids: Vec<PromptIds> = prompts.map(|p| encoder.tokenizers().encode(&p)).collect();
    let sizes: Vec<[f32; 6]> = serde_json::from_value(about["time_ids"].clone()).unwrap();
    let sizes: Vec<_> = sizes.into_iter().map(TimeIds).collect();
    let told = encoder.encode(&encoder.prepare(&ids), &vectors, &sizes);
    let want = golden.get("context");
    let context = told.hidden_states.clone().inner().narrow(1, 0, want.shape[1]);
    assert_close("context", &values(context), &want.values, 2e-5, 0.0);
    let pooled = told.added.as_ref().unwrap().text_embeds.clone().inner();
    assert_close("text_embeds", &values(pooled), &golden.get("text_embeds").values, 2e-5, 0.0);

    let times: Vec<usize> = serde_json::from_value(about["timesteps"].clone()).unwrap();
    let [latents, noise] = ["latents", "noise"].map(|name| random(name, [times.len(), 4, 8, 8]));
    let noisy = model.scheduler().noise_schedule().add_noise(latents, noise.clone(), &times);
    let times: Vec<f64> = times.iter().map(|time| *time as f64).collect();
    let unet = model.load_unet(&device).unwrap();
    let predicted = unet.forward(noisy, &times, told);
    let want = &golden.get("noise_pred").values;
    assert_close("noise_pred", &values(predicted.clone().inner()), want, 5e-5, 0.0);
    let loss = (predicted - noise).square().mean();
    let want = &golden.get("loss").values;
    assert_close("loss", &values(loss.clone().inner()), want, 2e-6, 0.0);
    let gradients = loss.backward();
    for (index, vector) in vectors.iter().enumerate() {
        let name = format!("grad_concept_{}", index + 1);
        let ours = values(vector.grad(&gradients).unwrap());
        assert_relative(&name, &ours, &golden.get(&name).values, 3e-5);
    }

    let vae = model.load_vae(&device).unwrap();
    let mean = vae.encode(random("pixels", [1, 3, 16, 16])).mean;
    let want = &golden.get("vae_mean").values;
    assert_close("vae_mean", &values(mean.clone()), want, 5e-5, 0.0);
    let want = &golden.get("vae_decoded").values;
    assert_close("vae_decoded", &values(vae.decode(mean)), want, 5e-5, 0.0);
}

fn run_options(precision: MixedPrecision, method: Method, steps: usize) -> TrainOptions {
    let about = model::description()["about"].clone();
    let mut options = options(precision, (method, "adamw"), steps, 1);
    options.start.initializer_token = Some(about["initializer"].as_str().unwrap().into());
    options
}

#[test]
fn runs_of_all_methods_go_on_where_they_were_with_the_bytes_of_whole_ones() {
    let (_folder, model) = made();
    for method in [Method::TextualInversion, Method::DreamboothLora, Method::CustomDiffusion] {
        let run = || prepared_on(model.clone(), run_options(MixedPrecision::No, method, 4));
        let whole = states(&run(), None, 2);
        let saved = TrainState::from_bytes(&whole[0].to_bytes().unwrap()).unwrap();
        let resumed = states(&run(), Some(&saved), 2);
        let bytes = |states: &[TrainState]| states.last().unwrap().to_bytes().unwrap();
        assert_eq!(bytes(&whole), bytes(&resumed), "{method:?}");
    }
}

#[test]
fn checkpointed_gradients_are_the_same_and_low_types_give_nearly_them() {
    let (_folder, model) = made();
    for method in [Method::TextualInversion, Method::DreamboothLora] {
        let last = |precision, checkpointing| {
            let mut options = run_options(precision, method, 2);
            options.training.gradient_checkpointing = Some(checkpointing);
            states(&prepared_on(model.clone(), options), None, 1).pop().unwrap()
        };
        let (plain, checkpointed) =
            (last(MixedPrecision::No, false), last(MixedPrecision::No, true));
        assert_eq!(plain.parameters, checkpointed.parameters, "{method:?}");
        let low = last(MixedPrecision::Bf16, true);
        for (ours, want) in low.parameters.iter().zip(&plain.parameters).take(2) {
            let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            assert_close(&ours.name, &wide(&ours.values), &wide(&want.values), 0.03, 0.0);
        }
    }
}

#[test]
fn of_two_text_encoders_one_alone_is_trained_where_it_is_asked_for() {
    let (_folder, model) = made();
    let run = |which| {
        let mut options = run_options(MixedPrecision::No, Method::TextualInversion, 3);
        options.method.text_encoders = Some(which);
        let run = prepared_on(model.clone(), options);
        let start = session_of(&run).initial;
        let end = states(&run, None, 1).pop().unwrap().parameters;
        let moved = end.iter().zip(start.encoders());
        moved.map(|(now, start)| now.values != start.values).collect::<Vec<_>>()
    };
    assert_eq!(run(TextEncoders::First), [true, false]);
    assert_eq!(run(TextEncoders::Second), [false, true]);
    assert_eq!(run(TextEncoders::Both), [true, true]);
}

#[test]
fn what_was_learned_is_saved_for_both_text_encoders_and_drawn_again() {
    let (_folder, model) = made();
    let run =
        prepared_on(model.clone(), run_options(MixedPrecision::No, Method::TextualInversion, 2));
    let session = session_of(&run);
    let concept = session.concept(&run.checked.config);
    let learned = pollster::block_on(concept.read()).unwrap().embedding;
    let keys: Vec<_> = learned.encoders().iter().map(|encoder| encoder.key.as_deref()).collect();
    assert_eq!(keys, [Some("clip_l"), Some("clip_g")]);
    let file = embedding::write(&learned);
    assert_eq!(embedding::read(&file, "learned_embeds.safetensors").unwrap(), learned);

    let generator = Generator::load(&model, Some(&learned), None, &Device::flex()).unwrap();
    let options = dvar::session::sampling_options(&run.checked.config, &model).unwrap();
    let options = dvar::pipelines::SamplingOptions { num_inference_steps: 2, ..options };
    let prompt = [format!("a photo of {}", run.checked.config.placeholder_token)];
    let draw = |negative| {
        pollster::block_on(generator.draw(0, &prompt, negative, &options, None)).unwrap()
    };
    assert_eq!(draw(None), draw(None));
    assert_ne!(draw(None), draw(Some("")), "no negative prompt is not an empty one");
}
