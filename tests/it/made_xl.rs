//! Stable Diffusion XL on a very small model that the tests make: against diffusers 0.35.2, and whole
//! runs.

use std::{fs, path::Path};

use burn::tensor::{Device, Tensor, TensorData};
use dvar::{
    concept::Method,
    config::{MixedPrecision, TextEncoders, TrainOptions},
    embedding,
    pipelines::{ModelFolder, PromptIds, TimeIds},
    session::Generator,
    trainer::TrainState,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    determinism::{bytes, options, prepared_on, session_of, states},
    golden::{Tensors, assert_close, assert_relative},
    precision::{first_step, rounding},
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

/// The folder as transformers 5 and diffusers 0.42 write it, or people: one file for each tokenizer, a
/// whole CLIP without its prefix as first text encoder, a sampler that dvar does not have, and a
/// byte-order mark before every JSON.
fn write_as_today(folder: &Path) {
    model::write(folder);
    let read = |file: &str| fs::read(folder.join(file)).unwrap();
    let json = |file: &str| serde_json::from_slice::<Value>(&read(file)).unwrap();
    let put = |file: &str, bytes: Vec<u8>| fs::write(folder.join(file), bytes).unwrap();
    for (tokenizer, pairs) in [("tokenizer", true), ("tokenizer_2", false)] {
        let file = |name: &str| format!("{tokenizer}/{name}");
        let merges = String::from_utf8(read(&file("merges.txt"))).unwrap();
        let merge = |line: &str| match line.split_once(' ').unwrap() {
            (a, b) if pairs => json!([a, b]),
            (a, b) => json!(format!("{a} {b}")),
        };
        let merges: Vec<Value> = merges.trim().lines().skip(1).map(merge).collect();
        let mut config = json(&file("tokenizer_config.json"));
        let added = config["added_tokens_decoder"].take();
        let added = added.as_object().into_iter().flatten().map(|(id, token)| {
            let mut token = token.clone();
            token["id"] = id.parse::<u32>().unwrap().into();
            token
        });
        let whole = json!({
            "added_tokens": added.collect::<Vec<_>>(),
            "model": {"type": "BPE", "vocab": json(&file("vocab.json")), "merges": merges},
        });
        put(&file("tokenizer.json"), whole.to_string().into_bytes());
        config.as_object_mut().unwrap().remove("added_tokens_decoder");
        let special = json(&file("special_tokens_map.json"));
        config["pad_token"] = special["pad_token"].clone();
        put(&file("tokenizer_config.json"), config.to_string().into_bytes());
        for gone in ["vocab.json", "merges.txt", "special_tokens_map.json"] {
            fs::remove_file(folder.join(file(gone))).unwrap();
        }
    }
    let text = "text_encoder/model.safetensors";
    let bytes = read(text);
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let short = |name: String| name.strip_prefix("text_model.").unwrap_or(&name).to_string();
    let tensors = tensors.tensors().into_iter().map(|(name, view)| (short(name), view));
    let more = [("vision_model.post_layernorm.bias", 4), ("logit_scale", 1)];
    let zeros = [0; 16];
    let more = more.map(|(name, count)| {
        let view = TensorView::new(Dtype::F32, vec![count], &zeros[..4 * count]).unwrap();
        (name.to_string(), view)
    });
    put(text, safetensors::serialize(tensors.chain(more), None).unwrap());
    let config = "text_encoder/config.json";
    let whole = json!({"model_type": "clip", "text_config": json(config)});
    put(config, whole.to_string().into_bytes());
    let scheduler = "scheduler/scheduler_config.json";
    let mut keys = json(scheduler);
    keys["_class_name"] = "HeunDiscreteScheduler".into();
    put(scheduler, keys.to_string().into_bytes());
    for file in [
        "model_index.json",
        scheduler,
        config,
        "text_encoder_2/config.json",
        "unet/config.json",
        "vae/config.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
    ] {
        put(file, [b"\xef\xbb\xbf", read(file).as_slice()].concat());
    }
}

#[test]
fn a_folder_as_todays_libraries_write_it_is_the_same_model() {
    let (_folder, plain) = made();
    let folder = TempDir::new().unwrap();
    write_as_today(folder.path());
    let today = ModelFolder::open(folder.path()).unwrap();
    let told = |model: &ModelFolder| {
        let mut tokenizers = model.tokenizers().unwrap();
        tokenizers.add_placeholder("<new>", 1).unwrap();
        let encoder = model.load_prompt_encoder(tokenizers, &Device::flex()).unwrap();
        let texts = ["a photo of <new>!", "", "<new>, naïve"];
        let ids: Vec<_> = texts.iter().map(|text| encoder.tokenizers().encode(text)).collect();
        let tables = encoder.token_tables().into_iter();
        let vectors: Vec<_> = tables.map(|table| table.narrow(0, 5, 1)).collect();
        let told = encoder.encode(&encoder.prepare(&ids), &vectors, &[TimeIds::whole(8, 8); 3]);
        (ids, values(told.hidden_states), values(told.added.unwrap().text_embeds))
    };
    assert_eq!(told(&today), told(&plain));

    let scheduler = today.scheduler();
    assert_eq!(scheduler.noise_schedule(), plain.scheduler().noise_schedule());
    assert_eq!(
        (scheduler.kind(), plain.scheduler().missing_sampler()),
        (plain.scheduler().kind(), None)
    );
    assert_eq!(scheduler.missing_sampler().as_deref(), Some("`HeunDiscreteScheduler`"));
    let options = run_options(MixedPrecision::No, Method::TextualInversion, 2);
    states(&prepared_on(today, options), None, 1);
}

fn run_options(precision: MixedPrecision, method: Method, steps: usize) -> TrainOptions {
    let about = model::description()["about"].clone();
    let mut options = options(precision, (method, "adamw"), steps, 1);
    options.start.initializer_token = Some(about["initializer"].as_str().unwrap().into());
    options
}

#[test]
fn a_denoiser_that_names_no_size_is_as_large_as_those_of_sdxl() {
    let (folder, named) = made();
    assert_eq!(named.native_resolution(), 16);
    let file = folder.path().join("unet/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["sample_size"] = Value::Null;
    fs::write(&file, config.to_string()).unwrap();
    let open = ModelFolder::open(folder.path()).unwrap();
    // latents of 128, which this autoencoder halves and SDXL's own makes an eighth
    assert_eq!(open.native_resolution(), 256);
}

#[test]
fn runs_of_all_methods_go_on_where_they_were_with_the_bytes_of_whole_ones() {
    let (_folder, model) = made();
    for method in [Method::TextualInversion, Method::DreamboothLora, Method::CustomDiffusion] {
        let run = || prepared_on(model.clone(), run_options(MixedPrecision::No, method, 4));
        let whole = states(&run(), None, 2);
        let saved = TrainState::from_bytes(&whole[0].to_bytes().unwrap()).unwrap();
        let resumed = states(&run(), Some(&saved), 2);
        assert_eq!(bytes(&whole), bytes(&resumed), "{method:?}");
    }
}

#[test]
fn checkpointed_gradients_are_the_same_and_low_types_give_nearly_them() {
    let (_folder, model) = made();
    for method in [Method::TextualInversion, Method::DreamboothLora] {
        let step = |precision, checkpointing| {
            let mut options = run_options(precision, method, 2);
            options.training.gradient_checkpointing = Some(checkpointing);
            let run = prepared_on(model.clone(), options);
            first_step(&session_of(&run), &run.checked.config)
        };
        let (want_loss, want) = step(MixedPrecision::No, false);
        for precision in [MixedPrecision::No, MixedPrecision::Bf16] {
            let (loss, gradient) = step(precision, true);
            let limit = rounding(precision.dtype());
            assert_relative(&format!("{method:?} {precision} loss"), &loss, &want_loss, limit);
            // a weight's or a vector's gradient is a sum, whose order is another
            let label = format!("{method:?} {precision} gradient");
            assert_relative(&label, &gradient, &want, 20.0 * limit);
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

    let generator =
        Generator::load(&model, std::slice::from_ref(&learned), None, &Device::flex()).unwrap();
    let options = dvar::session::sampling_options(&run.checked.config, &model);
    let options = dvar::pipelines::SamplingOptions { num_inference_steps: 2, ..options };
    let prompt = [format!("a photo of {}", run.checked.config.placeholder_token)];
    let draw = |negative| {
        pollster::block_on(generator.draw(0, &prompt, negative, &options, None)).unwrap()
    };
    assert_eq!(draw(None), draw(None));
    assert_ne!(draw(None), draw(Some("")), "no negative prompt is not an empty one");
}
