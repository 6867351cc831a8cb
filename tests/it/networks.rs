//! Each network against PyTorch's: diffusers 0.35.2, transformers 4.57.3, torch 2.8.0 in f32.
//! Seeds and sizes are the golden set's; tolerances are its README's.

use burn::tensor::{DType, Device, Tensor};
use dvar::pipelines::Prompts;
use dvar_models::{
    clip::{ClipConfig, ClipTextConfig},
    dino::ViTConfig,
    ldm_bert::LdmBertConfig,
    unet::{UNet2DConditionConfig, UNet2DConditionModel},
    vae::{AutoencoderKl, AutoencoderKlConfig},
    weights::{ModelSource, load},
};

use crate::{
    golden::{Golden, Tensors, assert_close, assert_relative},
    support::{
        MODELS, encode, encoder_of, files, has_model, ids, only, prompt_ids, rows, tensor, tiny,
        values,
    },
};

fn device() -> Device {
    Device::flex()
}

fn unet(model: &str) -> UNet2DConditionModel {
    let files = files(model);
    let json = files.read("unet/config.json").unwrap();
    let config = UNet2DConditionConfig::parse(&json, "unet/config.json").unwrap();
    load(config.init(&device()), &files, "unet", DType::F32).unwrap()
}

fn vae(files: &dyn ModelSource, folder: &str) -> AutoencoderKl {
    let json = files.read(&format!("{folder}/config.json")).unwrap();
    let config = AutoencoderKlConfig::parse(&json, "vae/config.json").unwrap();
    load(config.init(&device()), files, folder, DType::F32).unwrap()
}

fn times(golden: &Golden) -> Vec<f64> {
    golden.values.clone()
}

/// The first rows that the golden file kept of a larger tensor.
fn first_rows<const D: usize>(tensor: Tensor<D>, golden: &Golden) -> Vec<f64> {
    values(tensor.narrow(0, 0, golden.shape[0]))
}

/// How many picture sizes the set has; at least one.
fn resolutions(golden: &Tensors, key: &str) -> std::ops::Range<usize> {
    let count = (0..).take_while(|r| golden.has(&format!("r{r}.{key}"))).count();
    assert!(count > 0, "the set has no r0.{key}");
    0..count
}

fn text_encoder_agrees(side: &str) {
    let golden = Tensors::open(&format!("text_encoder_{side}"));
    let encoder = encoder_of(&tiny(side), side, &device());
    let prompts: Prompts = encoder.prepare(&prompt_ids(golden.get("input_ids")));
    let concept = tensor::<2>(golden.get("concept_embedding"), &device());

    let states = values(encode(&encoder, &prompts, &concept));
    let want = golden.get("last_hidden_state");
    assert_close(&format!("{side} last_hidden_state"), &states, &want.values, 2e-5, 0.0);
    let layers = only(encoder.hidden_states(&prompts, std::slice::from_ref(&concept)));
    assert!(!golden.has(&format!("hidden_states.{}", layers.len())), "a layer more than compared");
    for (i, state) in layers.into_iter().enumerate() {
        let want = golden.get(&format!("hidden_states.{i}"));
        let label = format!("{side} hidden_states.{i}");
        assert_close(&label, &first_rows(state, want), &want.values, 2e-5, 0.0);
    }

    let concept = concept.autodiff().require_grad();
    let cotangent = tensor::<3>(golden.get("cotangent"), &device());
    let gradients = (encode(&encoder, &prompts, &concept) * cotangent).sum().backward();
    let gradient = values(concept.grad(&gradients).unwrap());
    let want = &golden.get("grad_concept").values;
    assert_relative(&format!("{side} grad_concept"), &gradient, want, 1e-5);
}

#[test]
fn clips_text_encoder_and_the_gradient_to_the_concept_agree_with_transformers() {
    text_encoder_agrees("sd");
}

#[test]
fn ldms_text_encoder_and_the_gradient_to_the_concept_agree_with_diffusers() {
    text_encoder_agrees("ldm");
}

#[test]
fn the_text_encoder_of_stable_diffusion_2_and_its_gradient_agree_with_transformers() {
    text_encoder_agrees("sd2");
}

#[test]
fn clips_pooled_output_agrees_with_transformers() {
    let golden = Tensors::open("text_encoder_sd");
    let files = files("tiny-sd");
    let json = files.read("text_encoder/config.json").unwrap();
    let text = ClipTextConfig::parse(&json, "text_encoder/config.json").unwrap();
    let text = load(text.init(&device()), &files, "text_encoder", DType::F32).unwrap().text_model;
    let states = tensor::<3>(golden.get("last_hidden_state"), &device());
    let pooled = text.pool(states, &rows(golden.get("input_ids")));
    assert_close("pooler_output", &values(pooled), &golden.get("pooler_output").values, 2e-5, 0.0);
}

fn autoencoder_agrees(golden: &str, vae: &AutoencoderKl, names: &str) {
    let golden = Tensors::open(golden);
    for resolution in resolutions(&golden, "pixels") {
        let get = |name: &str| golden.get(&format!("r{resolution}.{name}"));
        let pixels = tensor::<4>(get("pixels"), &device());
        let moments = vae.encode(pixels.clone());
        let sample = moments.mean.clone() + moments.std() * tensor::<4>(get("eps"), &device());
        let scaled = sample.clone().mul_scalar(vae.scaling_factor);
        for (name, got) in [
            ("moments", vae.encode_moments(pixels)),
            ("mean", moments.mean.clone()),
            ("logvar_clamped", moments.logvar.clone()),
            ("std", moments.std()),
            ("sample", sample),
            ("latents_scaled", scaled),
            ("decoded", vae.decode(tensor::<4>(get("decode_input"), &device()))),
        ] {
            let label = format!("{names} r{resolution}.{name}");
            assert_close(&label, &values(got), &get(name).values, 5e-5, 0.0);
        }
    }
}

#[test]
fn the_autoencoder_agrees_with_diffusers_under_new_and_old_names() {
    autoencoder_agrees("vae_sd", &vae(&files("tiny-sd"), "vae"), "new names");
    autoencoder_agrees("vae_sd", &vae(&files("tiny-sd-legacy-vae"), "."), "old names");
}

#[test]
fn the_other_autoencoders_agree_with_diffusers() {
    autoencoder_agrees("vae_ldm", &tiny("ldm").load_vae(&device()).unwrap(), "ldm");
    autoencoder_agrees("vae_sd2", &tiny("sd2").load_vae(&device()).unwrap(), "sd2");
    if has_model("sdxl") {
        autoencoder_agrees("vae_sdxl", &tiny("sdxl").load_vae(&device()).unwrap(), "sdxl");
    }
}

#[test]
fn the_unets_agree_with_diffusers_at_every_size() {
    for side in MODELS {
        let golden = Tensors::open(&format!("unet_{side}"));
        let unet = unet(&format!("tiny-{side}"));
        for resolution in resolutions(&golden, "sample") {
            let get = |name: &str| golden.get(&format!("r{resolution}.{name}"));
            let out = unet.forward(
                tensor(get("sample"), &device()),
                &times(get("timesteps")),
                tensor(get("encoder_hidden_states"), &device()),
            );
            let label = format!("{side} r{resolution}.out");
            assert_close(&label, &values(out), &get("out").values, 2e-5, 0.0);
        }
    }
}

#[test]
fn a_wrong_epsilon_in_any_norm_would_show() {
    let golden = Tensors::open("eps_probe");
    let files = files("tiny-eps");
    let (unet, vae) = (unet("tiny-eps"), vae(&files, "vae"));
    let json = files.read("text_encoder/config.json").unwrap();
    let text = ClipTextConfig::parse(&json, "text_encoder/config.json").unwrap();
    let text = load(text.init(&device()), &files, "text_encoder", DType::F32).unwrap().text_model;
    let json = files.read("bert/config.json").unwrap();
    let bert = LdmBertConfig::parse(&json, "bert/config.json").unwrap();
    let bert = load(bert.init(&device()), &files, "bert", DType::F32).unwrap();
    let get = |name: &str| golden.get(name);
    let input_ids = ids(&rows(get("input_ids")), &device());
    let unet_out = unet.forward(
        tensor(get("sample"), &device()),
        &times(get("timesteps")),
        tensor(get("encoder_hidden_states"), &device()),
    );
    for (name, got) in [
        ("unet_out", values(unet_out)),
        ("vae_mean", values(vae.encode(tensor(get("pixels"), &device())).mean)),
        ("vae_decoded", values(vae.decode(tensor(get("decode_input"), &device())))),
        ("clip_out", values(text.forward(text.token_embeddings(input_ids.clone())))),
        ("bert_out", values(bert.forward(bert.token_embeddings(input_ids)))),
    ] {
        assert_relative(name, &got, &get(name).values, 1e-3);
    }
}

#[test]
fn both_clip_towers_agree_with_transformers() {
    let golden = Tensors::open("clip_scores");
    let files = files("tiny-clip");
    let config = ClipConfig::parse(&files.read("config.json").unwrap(), "config.json").unwrap();
    let model = load(config.init(&device()), &files, ".", DType::F32).unwrap();
    let features = |set: &str| {
        model.image_features(tensor(golden.get(&format!("{set}.pixel_values")), &device()))
    };
    for set in ["ref", "gen", "ref_all", "ref_open_image"] {
        let want = golden.get(&format!("{set}.image_features"));
        assert_close(
            &format!("{set}.image_features"),
            &values(features(set)),
            &want.values,
            2e-5,
            0.0,
        );
    }
    let pixels = tensor::<4>(golden.get("gen.pixel_values"), &device());
    for (name, got) in [
        ("gen.vision_last_hidden", values(model.vision_model.last_hidden_state(pixels.clone()))),
        ("gen.vision_pooled_post_layernorm", values(model.vision_model.forward(pixels))),
        ("text_features", values(model.text_features(&rows(golden.get("input_ids"))))),
        ("text_features_zero_padded", {
            values(model.text_features(&rows(golden.get("input_ids_openai_zero_padded"))))
        }),
    ] {
        assert_close(name, &got, &golden.get(name).values, 2e-5, 0.0);
    }
    let normalize = |x: Tensor<2>| x.clone() / x.square().sum_dim(1).sqrt();
    let generated = normalize(features("gen"));
    let references = normalize(features("ref"));
    let texts = normalize(model.text_features(&rows(golden.get("input_ids"))));
    for (name, other) in [("img_img_cos", references), ("txt_img_cos", texts)] {
        let cosines = values((generated.clone() * other).sum_dim(1));
        assert_close(name, &cosines, &golden.get(name).values, 1e-5, 0.0);
    }
}

#[test]
fn dino_agrees_with_transformers_and_its_pooler_is_left_alone() {
    let golden = Tensors::open("dino_scores");
    let files = files("tiny-dino");
    let config = ViTConfig::parse(&files.read("config.json").unwrap(), "config.json").unwrap();
    let model = load(config.init(&device()), &files, ".", DType::F32).unwrap();
    for set in ["ref", "gen"] {
        let pixels = tensor::<4>(golden.get(&format!("{set}.pixel_values")), &device());
        for (name, got) in [
            ("last_hidden_state", values(model.last_hidden_state(pixels.clone()))),
            ("cls", values(model.forward(pixels))),
        ] {
            let name = format!("{set}.{name}");
            assert_close(&name, &got, &golden.get(&name).values, 2e-5, 0.0);
        }
    }
}
