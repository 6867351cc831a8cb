//! Stable Diffusion XL against diffusers 0.35.2, transformers 4.57.3 and torch 2.15.0, where the set
//! holds its model: text encoders, denoiser, gradients and whole drawings.

use burn::tensor::{Device, Tensor};
use dvar::{
    pipelines::{AddedConditioning, Conditioning, Guidance, PromptEncoder, TimeIds, denoise},
    schedulers::SchedulerKind,
};
use serde_json::Value;

use crate::{
    golden::{self, Golden, Tensors, assert_close, assert_relative, number, numbers},
    support::{encoders_of, has_model, prompts_of, tensor, time_ids, tiny, values, vectors_of},
};

const SIDE: &str = "sdxl";

fn device() -> Device {
    Device::flex()
}

fn tracked(vectors: Vec<Tensor<2>>) -> Vec<Tensor<2>> {
    vectors.into_iter().map(|vectors| vectors.autodiff().require_grad()).collect()
}

fn pooled(told: &Conditioning) -> Tensor<2> {
    told.added.as_ref().unwrap().text_embeds.clone()
}

#[test]
fn both_text_encoders_and_the_gradients_to_both_concepts_agree_with_transformers() {
    if !has_model(SIDE) {
        return;
    }
    let golden = Tensors::open("text_encoder_sdxl");
    let model = tiny(SIDE);
    let encoder = encoders_of(&model, SIDE, 1, &device());
    let ids = prompts_of(&model, &golden, "input_ids");
    let (vectors, get) = (vectors_of(&model, &golden, &device()), |name: &str| golden.get(name));
    let told = |count: usize, vectors: &[Tensor<2>]| {
        let sizes = vec![TimeIds::whole(64, 64); count];
        encoder.encode(&encoder.prepare(&ids[..count]), vectors, &sizes)
    };
    let all = told(ids.len(), &vectors);
    assert_close("context", &values(all.hidden_states.clone()), &get("context").values, 2e-5, 0.0);
    // with added tokens, and where the end-of-text token is missing, cut off or doubled
    let (ours, want) = (values(pooled(&all)), &get("text_embeds_eos").values);
    assert_close("text_embeds", &ours, want, 2e-5, 0.0);
    let legacy = get("text_embeds_legacy").values.iter().zip(&ours).map(|(a, b)| (a - b).abs());
    assert!(legacy.fold(0.0, f64::max) > 0.1, "the largest id in place of the end would not show");

    let layers = encoder.hidden_states(&encoder.prepare(&ids[..1]), &vectors);
    for (index, layers) in layers.into_iter().enumerate() {
        let name = |layer: usize| format!("te{}.hidden_states.{layer}", index + 1);
        assert!(!golden.has(&name(layers.len())), "a layer more than compared");
        for (layer, state) in layers.into_iter().enumerate() {
            let name = name(layer);
            assert_close(&name, &values(state), &get(&name).values, 2e-5, 0.0);
        }
    }

    let vectors = tracked(vectors);
    let (context, text_embeds) = (get("cotangent_context"), get("cotangent_text_embeds"));
    let told = told(context.shape[0], &vectors);
    let sum = (told.hidden_states.clone() * tensor::<3>(context, &device())).sum()
        + (pooled(&told) * tensor::<2>(text_embeds, &device())).sum();
    let gradients = sum.backward();
    for (index, vectors) in vectors.iter().enumerate() {
        let name = format!("grad_concept_{}.eos", index + 1);
        let ours = values(vectors.grad(&gradients).unwrap());
        assert_relative(&name, &ours, &get(&name).values, 1e-5);
    }
}

fn conditioning(states: &Golden, text_embeds: &Golden, sizes: &Golden) -> Conditioning {
    Conditioning {
        hidden_states: tensor(states, &device()),
        added: Some(AddedConditioning {
            text_embeds: tensor(text_embeds, &device()),
            time_ids: time_ids(sizes),
        }),
    }
}

#[test]
fn the_denoiser_agrees_with_diffusers_at_every_size() {
    if !has_model(SIDE) {
        return;
    }
    let golden = Tensors::open("unet_sdxl");
    let unet = tiny(SIDE).load_unet(&device()).unwrap();
    let sizes: Vec<_> = (0..).take_while(|r| golden.has(&format!("r{r}.sample"))).collect();
    assert!(!sizes.is_empty());
    for size in sizes {
        let get = |name: &str| golden.get(&format!("r{size}.{name}"));
        let told = conditioning(get("encoder_hidden_states"), get("text_embeds"), get("time_ids"));
        let out = unet.forward(tensor(get("sample"), &device()), &get("timesteps").values, told);
        assert_close(&format!("r{size}.out"), &values(out), &get("out").values, 5e-5, 0.0);
    }
}

#[test]
fn the_objective_and_its_gradients_agree_with_torch() {
    if has_model(SIDE) {
        for name in ["ti_grad_sdxl", "ti_grad_sdxl_2v"] {
            objective_agrees(name);
        }
    }
}

fn objective_agrees(name: &str) {
    let golden = Tensors::open(name);
    let get = |name: &str| golden.get(name);
    let label = |what: &str| format!("{name} {what}");
    let model = tiny(SIDE);
    let vectors = tracked(vectors_of(&model, &golden, &device()));
    let encoder = encoders_of(&model, SIDE, vectors[0].dims()[0], &device());
    let unet = model.load_unet(&device()).unwrap();
    let (latents, noise) = (tensor(get("latents"), &device()), tensor(get("noise"), &device()));
    let times = get("timesteps").usize();
    let schedule = model.scheduler().noise_schedule();
    let noisy = schedule.add_noise(latents, noise.clone(), &times);
    let want = &get("noisy_latents").values;
    assert_close(&label("noisy_latents"), &values(noisy.clone()), want, 0.0, 1e-6);

    let prompts = encoder.prepare(&prompts_of(&model, &golden, "input_ids"));
    let told = || encoder.encode(&prompts, &vectors, &time_ids(get("time_ids")));
    for (name, got) in [
        ("encoder_hidden_states", values(told().hidden_states.inner())),
        ("text_embeds", values(pooled(&told()).inner())),
    ] {
        assert_close(&label(name), &got, &get(name).values, 2e-5, 0.0);
    }
    for unet in [unet.clone(), unet.with_gradient_checkpointing()] {
        let told = told();
        // leaves of their own, to see the gradients that reach the text encoders
        let states = told.hidden_states.clone().inner().autodiff().require_grad();
        let ends = pooled(&told).inner().autodiff().require_grad();
        let leaves = Conditioning {
            hidden_states: states.clone(),
            added: told.added.as_ref().map(|added| AddedConditioning {
                text_embeds: ends.clone(),
                time_ids: added.time_ids.clone(),
            }),
        };
        let predicted = unet.forward(noisy.clone(), &get("timesteps").values, leaves);
        let want = &get("noise_pred").values;
        assert_close(&label("noise_pred"), &values(predicted.clone().inner()), want, 5e-5, 0.0);
        let loss = (predicted - noise.clone()).square().mean();
        let want = &get("loss").values;
        assert_close(&label("loss"), &values(loss.clone().inner()), want, 2e-6, 0.0);
        let backward = loss.backward();
        let to_states = states.grad(&backward).unwrap();
        let to_ends = ends.grad(&backward).unwrap();
        for (name, got) in [
            ("grad_encoder_hidden_states", values(to_states.clone())),
            ("grad_text_embeds", values(to_ends.clone())),
        ] {
            assert_relative(&label(name), &got, &get(name).values, 3e-5);
        }
        let sum = (told.hidden_states.clone() * to_states).sum() + (pooled(&told) * to_ends).sum();
        let backward = sum.backward();
        for (index, vectors) in vectors.iter().enumerate() {
            let name = format!("grad_concept_{}", index + 1);
            let ours = values(vectors.grad(&backward).unwrap());
            assert_relative(&label(&name), &ours, &get(&name).values, 3e-5);
        }
    }
}

/// One recorded drawing.
struct Drawing<'a> {
    golden: &'a Tensors,
    name: &'a str,
    about: &'a Value,
}

impl Drawing<'_> {
    fn get(&self, name: &str) -> &Golden {
        self.golden.get(&format!("{}.{name}", self.name))
    }

    /// What is drawn, and what it is guided away from.
    fn told(
        &self,
        encoder: &PromptEncoder,
        prompts: &[String],
        vectors: &[Tensor<2>],
    ) -> (Conditioning, Option<Conditioning>) {
        let ids: Vec<_> = prompts.iter().map(|p| encoder.tokenizers().encode(p)).collect();
        let sizes = time_ids(self.get("time_ids"));
        let text = encoder.encode(&encoder.prepare(&ids), vectors, &sizes);
        let guided = (encoder.family().is_guided)(number(&self.about["guidance"]));
        let negative = guided.then(|| match self.about["negative_prompt"].as_array() {
            None => {
                assert!(encoder.no_prompt_is_zero());
                text.without_text()
            }
            Some(prompts) => {
                let prompts = prompts.iter().map(|prompt| prompt.as_str().unwrap());
                let ids: Vec<_> = prompts.map(|p| encoder.tokenizers().encode(p)).collect();
                encoder.encode(&encoder.prepare(&ids), vectors, &sizes)
            }
        });
        (text, negative)
    }
}

#[test]
fn every_recorded_drawing_is_diffusers() {
    if !has_model(SIDE) {
        return;
    }
    let (golden, meta) = (Tensors::open("sampling_sdxl"), golden::json("sampling_sdxl"));
    let model = tiny(SIDE);
    let (unet, vae) = (model.load_unet(&device()).unwrap(), model.load_vae(&device()).unwrap());
    let encoder = encoders_of(&model, SIDE, 1, &device());
    let vectors = vectors_of(&model, &golden, &device());
    let prompts: Vec<String> = serde_json::from_value(meta["prompts"].clone()).unwrap();
    let cases = meta["cases"].as_object().unwrap();
    let cases: Vec<_> = cases.iter().filter(|(_, about)| about["pool_rule"] == "eos").collect();
    assert!(cases.iter().any(|(_, about)| about["negative_prompt"].is_null()));
    for (name, about) in cases {
        let drawing = Drawing { golden: &golden, name, about };
        let (text, negative) = drawing.told(&encoder, &prompts, &vectors);
        let want = &golden.get("prompt_embeds").values;
        assert_close("prompt_embeds", &values(text.hidden_states.clone()), want, 2e-5, 0.0);
        let want = &drawing.get("pooled").values;
        assert_close("pooled", &values(pooled(&text)), want, 2e-5, 0.0);
        if let Some(want) = golden.find(&format!("{name}.negative_pooled")) {
            let ours = values(pooled(negative.as_ref().unwrap()));
            assert_close("negative_pooled", &ours, &want.values, 2e-5, 0.0);
        }
        let class = about["scheduler"].as_str().unwrap();
        let kind = if class == "DDIMScheduler" { "ddim" } else { "euler" };
        let kind: SchedulerKind = kind.parse().unwrap();
        let steps = number(&meta["steps"]) as usize;
        let mut scheduler = model.scheduler().build(kind, steps, 0.0).unwrap();
        let (times, sigma) = (scheduler.timesteps(), scheduler.init_noise_sigma());
        assert_close("timesteps", times, &numbers(&about["timesteps"]), 1e-3, 0.0);
        assert_close("sigma", &[sigma], &[number(&about["init_noise_sigma"])], 0.0, 1e-6);
        let latents = tensor::<4>(golden.get("initial_latents"), &device()).mul_scalar(sigma);
        let guidance = Guidance { text, negative, scale: number(&about["guidance"]) };
        let want = drawing.get("latents_per_step");
        let mut after_each = Vec::new();
        let observe = async |_, latents: &Tensor<4>| {
            after_each.extend(values(latents.clone()));
            Ok(())
        };
        let none = |_| unreachable!("these samplers draw no noise");
        let drawn = denoise(&unet, scheduler.as_mut(), &guidance, latents, none, observe);
        let drawn = pollster::block_on(drawn).unwrap();
        assert_close(name, &after_each, &want.values, 1e-3, 0.0);
        if let Some(want) = golden.find(&format!("{name}.image_01_nchw")) {
            let decoded = vae.decode(drawn.narrow(0, 0, want.shape[0]) / vae.scaling_factor);
            let image = decoded.div_scalar(2.0).add_scalar(0.5).clamp(0.0, 1.0);
            assert_close(&format!("{name} image"), &values(image), &want.values, 1e-3, 0.0);
        }
    }
}
