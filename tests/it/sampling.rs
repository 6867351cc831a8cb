//! Whole sampling runs against diffusers 0.35.2: StableDiffusionPipeline with PNDM and
//! LDMTextToImagePipeline with DDIM.

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor};
use dvar::{
    pipelines::{Conditioning, Guidance, ModelFolder, SamplingOptions, denoise},
    schedulers::SchedulerKind,
    session::Generator,
};
use dvar_models::{unet::UNet2DConditionModel, vae::AutoencoderKl};
use serde_json::Value;

use crate::{
    golden::{self, Tensors, assert_close, number},
    support::{encoder_of, tensor, tiny, values},
};

/// A recorded set of runs, and our networks with the prompts encoded.
struct Sampling {
    golden: Tensors,
    meta: Value,
    model: ModelFolder,
    unet: UNet2DConditionModel,
    vae: AutoencoderKl,
    text: Conditioning,
    negative: Conditioning,
}

impl Sampling {
    fn open(side: &str) -> Self {
        let name = format!("sampling_{side}");
        let (golden, meta) = (Tensors::open(&name), golden::json(&name));
        let device = Device::flex();
        let model = tiny(side);
        let encoder = encoder_of(&model, side, &device);
        let concept = tensor::<2>(golden.get("concept_embedding"), &device);
        let prompts: Vec<&str> =
            meta["prompts"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        let encode = |prompts: &[&str]| {
            let tokenizers = encoder.tokenizers();
            let ids: Vec<_> = prompts.iter().map(|prompt| tokenizers.encode(prompt)).collect();
            encoder.encode(&encoder.prepare(&ids), std::slice::from_ref(&concept), &[])
        };
        let (text, negative) = (encode(&prompts), encode(&vec![""; prompts.len()]));
        for (name, got) in [("prompt_embeds", &text), ("uncond_embeds", &negative)] {
            let label = format!("{side} {name}");
            assert_close(
                &label,
                &values(got.hidden_states.clone()),
                &golden.get(name).values,
                2e-5,
                0.0,
            );
        }
        let (unet, vae) = (model.load_unet(&device).unwrap(), model.load_vae(&device).unwrap());
        Self { golden, meta, model, unet, vae, text, negative }
    }

    /// The last latents of the model's own sampler; those after each step are compared where the
    /// set has them.
    fn sample(&self, scale: f64, eta: f64, steps: Option<&str>) -> Tensor<4> {
        self.sample_by(self.model.scheduler().kind(), scale, eta, steps)
    }

    fn sample_by(
        &self,
        kind: SchedulerKind,
        scale: f64,
        eta: f64,
        steps: Option<&str>,
    ) -> Tensor<4> {
        let count = number(&self.meta["steps"]) as usize;
        let mut scheduler = self.model.scheduler().build(kind, count, eta).unwrap();
        let latents = tensor::<4>(self.golden.get("initial_latents"), &Device::flex());
        let guided = (self.model.family().is_guided)(scale);
        let negative = guided.then(|| self.negative.clone());
        let guidance = Guidance { text: self.text.clone(), negative, scale };
        let noise = |step| tensor(&self.golden.get("variance_noise").row(step), &Device::flex());
        let want = steps.map(|key| self.golden.get(key));
        let mut observed = 0;
        let observe = async |step, latents: &Tensor<4>| {
            if let (Some(want), Some(key)) = (want, steps) {
                let (got, want) = (values(latents.clone()), want.row(step).values);
                assert_close(&format!("{key} {step}"), &got, &want, 1e-3, 0.0);
                observed += 1;
            }
            Ok(())
        };
        let latents = denoise(&self.unet, scheduler.as_mut(), &guidance, latents, noise, observe);
        let latents = pollster::block_on(latents).unwrap();
        assert_eq!(observed, want.map_or(0, |want| want.shape[0]));
        latents
    }

    /// `[batch_size, 3, height, width]` in [0, 1]
    fn image(&self, latents: Tensor<4>) -> Tensor<4> {
        let decoded = self.vae.decode(latents.div_scalar(self.vae.scaling_factor));
        decoded.div_scalar(2.0).add_scalar(0.5).clamp(0.0, 1.0)
    }
}

#[test]
fn pndm_with_guidance_draws_what_diffusers_draws() {
    let sampling = Sampling::open("sd");
    assert_eq!(sampling.model.scheduler().kind().name(), "pndm");
    let get = |name: &str| &sampling.golden.get(name).values;
    let guidance = number(&sampling.meta["guidance"]);
    let latents = sampling.sample(guidance, 0.0, Some("latents_per_step"));
    assert_close("final_latents", &values(latents.clone()), get("final_latents"), 1e-3, 0.0);

    let image = sampling.image(latents);
    assert_close("image", &values(image.clone()), get("image_01_nchw"), 2e-4, 0.0);
    let bytes: Vec<f64> = values(image.permute([0, 2, 3, 1]))
        .into_iter()
        .map(|value| (value * 255.0).round_ties_even())
        .collect();
    assert_close("image in 8 bits", &bytes, get("image_u8_nhwc"), 1.0, 0.0);

    let unguided = values(sampling.sample(0.0, 0.0, None));
    let want = get("final_latents_guidance0");
    assert_close("final latents without guidance", &unguided, want, 1e-3, 0.0);
}

#[test]
fn ddim_draws_what_diffusers_draws_with_ldm_at_every_guidance_and_eta() {
    let sampling = Sampling::open("ldm");
    assert_eq!(sampling.model.scheduler().kind().name(), "ddim");
    let cases = sampling.meta["cases"].as_object().unwrap();
    assert!(!cases.is_empty());
    for (name, case) in cases {
        let (guidance, eta) = (number(&case["guidance"]), number(&case["eta"]));
        let steps = format!("{name}.latents_per_step");
        let image = sampling.image(sampling.sample(guidance, eta, Some(&steps)));
        let want = &sampling.golden.get(&format!("{name}.image_01_nchw")).values;
        assert_close(&format!("{name} image"), &values(image), want, 2e-4, 0.0);
    }
}

#[test]
fn a_picture_depends_on_its_number_and_not_on_those_that_are_drawn_beside_it() {
    let model = tiny("sd");
    let generator = Generator::load(&model, &[], None, &Device::flex()).unwrap();
    let side = model.native_resolution();
    let options = SamplingOptions {
        scheduler: "ddim".parse().unwrap(),
        num_inference_steps: 2,
        guidance_scale: 1.0,
        eta: 1.0, // with fresh noise in each step
        height: side,
        width: side,
        seed: 3,
    };
    let draw = |first, count| {
        let prompts = vec!["a cat".to_string(); count];
        pollster::block_on(generator.draw(first, &prompts, None, &options, None)).unwrap()
    };
    // more than are drawn at once
    let six = draw(0, 6);
    let different: BTreeSet<&[u8]> = six.iter().map(|picture| picture.pixels()).collect();
    assert_eq!(different.len(), 6);
    let alone = [draw(1, 1), draw(4, 2)].concat();
    for (alone, beside) in alone.iter().zip([&six[1], &six[4], &six[5]]) {
        let mut values = alone.pixels().iter().zip(beside.pixels());
        assert!(values.all(|(one, other)| one.abs_diff(*other) <= 1));
    }
}

#[test]
fn stable_diffusion_2_draws_what_diffusers_draws_by_velocity_and_by_noise() {
    let mut sampling = Sampling::open("sd2");
    let cases = sampling.meta["cases"].as_object().unwrap().clone();
    assert!(!cases.is_empty());
    for (name, case) in &cases {
        let prediction = case["prediction_type"].as_str().unwrap().parse().unwrap();
        sampling.model = sampling.model.clone().with_prediction_type(Some(prediction)).unwrap();
        let kind = SchedulerKind::all();
        let mut kind = kind.filter(|kind| {
            let class_name = format!("{}Scheduler", kind.name().to_uppercase());
            case["scheduler"] == class_name
        });
        let guidance = number(&sampling.meta["guidance"]);
        let steps = format!("{name}.latents_per_step");
        let latents = sampling.sample_by(kind.next().unwrap(), guidance, 0.0, Some(&steps));
        let want = sampling.golden.get(&format!("{name}.final_latents"));
        assert_close(name, &values(latents.clone()), &want.values, 1e-3, 0.0);
        if let Some(want) = sampling.golden.find(&format!("{name}.image_01_nchw")) {
            let image = sampling.image(latents).narrow(0, 0, want.shape[0]);
            assert_close(&format!("{name} image"), &values(image), &want.values, 1e-3, 0.0);
        }
    }
}
