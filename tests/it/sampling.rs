//! Whole sampling runs against diffusers' StableDiffusionPipeline 0.35.2.

use burn::tensor::Device;
use dvar::{
    pipelines::{Guidance, denoise},
    schedulers::SchedulerKind,
};

use crate::{
    golden::{self, Golden, Tensors, assert_close, number},
    support::{prompt_encoder, tensor, tiny_sd, values},
};

/// Row `index` along the first axis.
fn row(golden: &Golden, index: usize) -> Golden {
    let size: usize = golden.shape[1..].iter().product();
    let values = golden.values[index * size..(index + 1) * size].to_vec();
    Golden { shape: golden.shape[1..].to_vec(), values }
}

#[test]
fn pndm_with_guidance_draws_what_diffusers_draws() {
    let (golden, meta) = (Tensors::open("sampling_sd"), golden::json("sampling_sd"));
    let device = Device::flex();
    let model = tiny_sd();
    let encoder = prompt_encoder(&model, &device);
    let unet = model.load_unet(&device).unwrap();
    let vae = model.load_vae(&device).unwrap();
    let concept = tensor::<2>(golden.get("concept_embedding"), &device);
    let prompts: Vec<&str> =
        meta["prompts"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    let encode = |prompts: &[&str]| {
        let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| encoder.tokenize(prompt)).collect();
        encoder.encode(&encoder.prepare(&ids), &concept)
    };
    let (text, negative) = (encode(&prompts), encode(&vec![""; prompts.len()]));
    assert_close(
        "prompt_embeds",
        &values(text.clone()),
        &golden.get("prompt_embeds").values,
        2e-5,
        0.0,
    );
    assert_close(
        "uncond_embeds",
        &values(negative.clone()),
        &golden.get("uncond_embeds").values,
        2e-5,
        0.0,
    );

    let steps = number(&meta["steps"]) as usize;
    let sample = |scale: f64, observe: &mut dyn FnMut(usize, Vec<f64>)| {
        let mut scheduler = model.scheduler().build(SchedulerKind::Pndm, steps, 0.0).unwrap();
        let latents = tensor::<4>(golden.get("initial_latents"), &device);
        let guidance = Guidance { text: text.clone(), negative: negative.clone(), scale };
        let no_noise = |_| unreachable!("PNDM adds no noise");
        denoise(&unet, scheduler.as_mut(), &guidance, latents, no_noise, |step, latents| {
            observe(step, values(latents.clone()))
        })
    };
    let mut observed = 0;
    let latents = sample(number(&meta["guidance"]), &mut |step, latents| {
        observed += 1;
        let want = row(golden.get("latents_per_step"), step);
        assert_close(&format!("latents after step {step}"), &latents, &want.values, 1e-3, 0.0);
    });
    assert_eq!(observed, golden.get("latents_per_step").shape[0]);
    assert_close(
        "final_latents",
        &values(latents.clone()),
        &golden.get("final_latents").values,
        1e-3,
        0.0,
    );

    let decoded = vae.decode(latents.div_scalar(vae.scaling_factor));
    let image = decoded.div_scalar(2.0).add_scalar(0.5).clamp(0.0, 1.0);
    assert_close("image", &values(image.clone()), &golden.get("image_01_nchw").values, 2e-4, 0.0);
    let bytes: Vec<f64> = values(image.permute([0, 2, 3, 1]))
        .into_iter()
        .map(|value| (value * 255.0).round_ties_even())
        .collect();
    assert_close("image in 8 bits", &bytes, &golden.get("image_u8_nhwc").values, 1.0, 0.0);

    let unguided = values(sample(0.0, &mut |_, _| ()));
    let want = golden.get("final_latents_guidance0");
    assert_close("final latents without guidance", &unguided, &want.values, 1e-3, 0.0);
}
