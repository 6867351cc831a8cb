//! DreamBooth-LoRA and Custom Diffusion against torch 2.8.0 and diffusers 0.35.2.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use dvar::{
    concept::{AdapterConfig, Concept, ConceptWeights, LearnedConcept},
    embedding::LearnedEmbedding,
    objective::LatentCache,
    objective::{DiffusionObjective, Inputs},
    optim::{AdamWConfig, OptimizerConfig},
};
use dvar_models::unet::UNet2DConditionModel;

use crate::{
    golden::{self, Tensors, assert_close, assert_relative, number, numbers},
    support::{prompt_encoder, prompt_ids, tensor, tiny_sd, values},
};

fn initial(golden: &Tensors) -> LearnedEmbedding {
    let concept = golden.get("concept_embedding");
    LearnedEmbedding::new("<a>", concept.f32(), concept.shape[0], concept.shape[1]).unwrap()
}

#[test]
fn lora_on_the_attentions_agrees_with_torch() {
    let (golden, meta) = (Tensors::open("lora_sd"), golden::json("lora_sd"));
    let device = Device::flex();
    let model = tiny_sd();
    let (encoder, unet) = (prompt_encoder(&model, &device), model.load_unet(&device).unwrap());
    let rank = number(&meta["rank"]) as usize;
    let adapter = AdapterConfig::Lora { rank, scale: number(&meta["scale"]) };
    let mut concept = Concept::new(&initial(&golden), &device).with_adapter(adapter, &unet, 0);
    let modules: Vec<&str> =
        meta["modules"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(concept.parameters().len(), 1 + 2 * modules.len(), "the same modules");
    let mut starts = concept.vectors();
    starts.extend(concept.parameters()[1..].iter().map(|p| tensor(golden.get(&p.name), &device)));
    concept.set(starts);

    let latents = tensor::<4>(golden.get("latents"), &device);
    let noise = tensor::<4>(golden.get("noise"), &device);
    let times = golden.get("timesteps").usize();
    let noisy = model.scheduler().noise_schedule().add_noise(latents, noise.clone(), &times);
    let prompts = encoder.prepare(&prompt_ids(golden.get("input_ids")));
    let times: Vec<f64> = golden.get("timesteps").values.clone();
    let predict = |weights: &ConceptWeights| {
        let states = encoder.encode(&prompts, &weights.vectors, &[]).hidden_states;
        weights.unet(&unet).forward(noisy.clone(), &times, states)
    };
    let predicted = predict(&concept.tracked());
    let want = &golden.get("noise_pred").values;
    assert_close("lora noise_pred", &values(predicted.clone().inner()), want, 2e-5, 0.0);
    let loss = (predicted - noise.clone()).square().mean();
    assert_close("lora loss", &values(loss.clone().inner()), &[number(&meta["loss"])], 2e-5, 0.0);
    agree(&golden, &meta, &concept, &loss.backward());
    // weights that are trained have a graph of their own, outside the blocks'
    let tracked = concept.tracked();
    let states = encoder.encode(&prompts, &tracked.vectors, &[]).hidden_states;
    let checkpointed = tracked.unet(&unet).into_owned().with_gradient_checkpointing();
    let loss = (checkpointed.forward(noisy.clone(), &times, states) - noise).square().mean();
    agree(&golden, &meta, &concept, &loss.backward());

    // the file that diffusers loads, merged back, predicts the same
    let learned: LearnedConcept = pollster::block_on(concept.read()).unwrap();
    let file = learned.adapter.as_ref().unwrap().to_bytes().unwrap();
    let read = dvar::concept::LearnedAdapter::from_bytes(&file, "lora").unwrap();
    let merged =
        ConceptWeights::from_learned(&learned.embedding, Some(&read), &unet, &device).unwrap();
    assert_close("merged lora", &values(predict(&merged)), want_values(&golden), 2e-5, 0.0);
}

fn want_values(golden: &Tensors) -> &[f64] {
    &golden.get("noise_pred").values
}

/// Asserts that the gradients are the golden's.
fn agree(golden: &Tensors, meta: &serde_json::Value, concept: &Concept, gradients: &Gradients) {
    let mut compared = 0;
    for parameter in concept.parameters() {
        let name = match parameter.name.as_str() {
            "vectors" => "grad_concept".to_string(),
            name => format!("grad.{name}"),
        };
        let Some(want) = golden.find(&name) else { continue };
        let ours = values(parameter.tracked().grad(gradients).unwrap());
        assert_relative(&name, &ours, &want.values, 5e-5);
        compared += 1;
    }
    assert_eq!(compared, 1 + 2 * meta["grad_modules"].as_array().unwrap().len());
}

#[test]
fn lora_leaves_the_network_as_it_is_at_its_start() {
    let device = Device::flex();
    let unet = tiny_sd().load_unet(&device).unwrap();
    let golden = Tensors::open("lora_sd");
    let adapter = AdapterConfig::Lora { rank: 2, scale: 1.0 };
    let concept = Concept::new(&initial(&golden), &device).with_adapter(adapter, &unet, 0);
    let (plain, base) = (concept.plain(), unet.projections());
    for (name, weight) in plain.unet(&unet).projections() {
        assert_eq!(values(weight), values(base[&name].clone()), "{name}");
    }
}

#[test]
fn a_lora_counts_by_its_scale_in_training_as_in_its_file() {
    let (device, golden) = (Device::flex(), Tensors::open("lora_sd"));
    let unet = tiny_sd().load_unet(&device).unwrap();
    let base = unet.projections();
    let added = |scale| {
        let adapter = AdapterConfig::Lora { rank: 2, scale };
        let mut concept = Concept::new(&initial(&golden), &device).with_adapter(adapter, &unet, 0);
        // the second factors begin at zero, where no scale shows
        concept.set(concept.parameters().iter().map(|p| p.value() + 0.5).collect());
        let of = |weights: &ConceptWeights| -> Vec<f64> {
            let projections = weights.unet(&unet).projections().into_iter();
            projections.flat_map(|(name, weight)| values(weight - base[&name].clone())).collect()
        };
        let LearnedConcept { embedding, adapter } = pollster::block_on(concept.read()).unwrap();
        let file = ConceptWeights::from_learned(&embedding, adapter.as_ref(), &unet, &device);
        let trained = of(&concept.plain());
        assert_relative("of the file", &of(&file.unwrap()), &trained, 1e-5);
        trained
    };
    let thrice: Vec<f64> = added(1.0).iter().map(|value| 3.0 * value).collect();
    assert_relative("scale 3", &added(3.0), &thrice, 1e-5);
}

#[test]
fn a_loras_first_factors_deviate_by_one_over_its_rank() {
    let (device, golden) = (Device::flex(), Tensors::open("lora_sd"));
    let unet = tiny_sd().load_unet(&device).unwrap();
    let adapter = AdapterConfig::Lora { rank: 4, scale: 1.0 };
    let concept = Concept::new(&initial(&golden), &device).with_adapter(adapter, &unet, 0);
    let first = concept.parameters().iter().filter(|p| p.name.ends_with(".lora_down"));
    let first: Vec<f64> = first.flat_map(|p| values(p.value())).collect();
    let variance = first.iter().map(|value| value * value).sum::<f64>() / first.len() as f64;
    assert!((variance * 16.0 - 1.0).abs() < 0.1, "{variance} over {} values", first.len());
}

#[test]
fn three_steps_of_custom_diffusion_agree_with_torch() {
    custom_diffusion(|unet| unet);
    custom_diffusion(UNet2DConditionModel::with_gradient_checkpointing);
}

fn custom_diffusion(adapted: fn(UNet2DConditionModel) -> UNet2DConditionModel) {
    let (golden, meta) =
        (Tensors::open("custom_diffusion_sd"), golden::json("custom_diffusion_sd"));
    let device = Device::flex();
    let model = tiny_sd();
    let encoder = prompt_encoder(&model, &device);
    let unet = adapted(model.load_unet(&device).unwrap().with_first_token_detached());
    let concept = Concept::new(&initial(&golden), &device);
    let mut concept = concept.with_adapter(AdapterConfig::CustomDiffusion, &unet, 0);
    let trainable = meta["trainable"].as_array().unwrap();
    assert_eq!(concept.parameters().len(), 1 + trainable.len());

    let get = |name: &str| golden.get(name);
    let latents = tensor::<4>(get("latents"), &device);
    let noise = tensor::<4>(get("noise"), &device);
    let vae = model.load_vae(&device).unwrap();
    let size = latents.dims()[2] * vae.downscale;
    let black = TensorData::zeros::<f32, _>([1, 3, size, size]);
    let cache = LatentCache::new(&vae, [black], &device);
    let schedule = model.scheduler().noise_schedule().clone();
    let objective = DiffusionObjective::new(encoder, unet, schedule, cache, Vec::new());
    let inputs = Inputs {
        captions: prompt_ids(get("input_ids")),
        latents,
        noise,
        timesteps: get("timesteps").usize(),
        time_ids: Vec::new(),
    };
    // the second half is of the class, and not masked
    let mask = get("mask").f32();
    let class = inputs.timesteps.len() / 2;
    let weights = objective.error_weights(&mask[..mask.len() / 2], class, 1.0);
    let batch = objective.prepare(inputs, Some(weights));
    let adamw = &meta["adamw"];
    let betas = numbers(&adamw["betas"]);
    let config = AdamWConfig {
        beta1: betas[0],
        beta2: betas[1],
        epsilon: number(&adamw["eps"]),
        weight_decay: number(&adamw["weight_decay"]),
    };
    let mut optimizer = config.init(&concept.values());
    let losses = meta["losses_instance_prior_total"].as_array().unwrap();
    for (step, losses) in losses.iter().enumerate() {
        let loss = objective.loss(&concept.tracked(), &batch);
        let total = numbers(losses)[2];
        assert_close("custom loss", &values(loss.clone().inner()), &[total], 0.0, 2e-5);
        let gradients = loss.backward();
        let gradients: Vec<Tensor<2>> =
            concept.parameters().iter().map(|p| p.tracked().grad(&gradients).unwrap()).collect();
        let norm: f64 = gradients.iter().flat_map(|g| values(g.clone())).map(|v| v * v).sum();
        let norm = norm.sqrt();
        let want = numbers(&meta["grad_norm_before_clip"])[step];
        assert_close("custom grad_norm", &[norm], &[want], 0.0, 1e-4);
        let share = (number(&meta["clip"]) / (norm + 1e-6)).min(1.0);
        let gradients: Vec<_> =
            gradients.into_iter().map(|gradient| gradient.mul_scalar(share)).collect();
        if step == 0 {
            // torch clips in place: what was recorded is clipped
            for (name, gradient) in named(&concept, &gradients) {
                let name = format!("grad.{name}");
                assert_relative(&name, &values(gradient), &get(&name).values, 5e-5);
            }
        }
        concept.set(optimizer.update(concept.values(), gradients, number(&adamw["lr"])));
    }
    let update = (number(&adamw["lr"]), number(&adamw["eps"]));
    for (name, weight) in named(&concept, &concept.values()) {
        let want = &get(&format!("after3.{name}")).values;
        let gradient = &get(&format!("grad.{name}")).values;
        assert_updated(&name, &values(weight), want, gradient, update);
    }
}

/// Under their names in the golden. Ours are `[in, out]`, the golden's `[out, in]`.
fn named(concept: &Concept, ours: &[Tensor<2>]) -> BTreeMap<String, Tensor<2>> {
    let parameters = concept.parameters().iter().zip(ours);
    parameters
        .map(|(parameter, tensor)| match parameter.name.as_str() {
            "vectors" => ("concept_token".to_string(), tensor.clone()),
            name => (format!("{name}.weight"), tensor.clone().transpose()),
        })
        .collect()
}

/// Within 2e-5. AdamW's first update is `lr * g / (|g| + eps)`, which turns an error `d` of the
/// gradient into `lr * eps * d / (|g| + eps)^2`: nothing, except where `g` is hardly larger than
/// epsilon. There, in torch as here, it makes an update out of rounding noise, and a value may be
/// off by that much more; `d` is 5e-6 of the largest gradient of the weight.
fn assert_updated(
    name: &str,
    ours: &[f64],
    want: &[f64],
    gradient: &[f64],
    (rate, epsilon): (f64, f64),
) {
    let noise = 5e-6 * gradient.iter().fold(0.0, |largest: f64, g| largest.max(g.abs()));
    let limits =
        gradient.iter().map(|g| 2e-5 + rate * epsilon * noise / (g.abs() + epsilon).powi(2));
    let shares = ours.iter().zip(want).zip(limits).map(|((a, b), limit)| (a - b) / limit);
    let label = format!("after3.{name}, in limits");
    assert_close(&label, &shares.collect::<Vec<_>>(), &vec![0.0; want.len()], 1.0, 0.0);
}
