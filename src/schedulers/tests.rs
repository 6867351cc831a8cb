//! What holds for every scheduler, whatever diffusers' numbers are.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{PredictionType, SchedulerConfig, SchedulerError, SchedulerKind};

/// What is made of a configuration of this class with these keys beside the usual ones.
pub(super) fn read(class_name: &str, keys: Value) -> Result<SchedulerConfig, SchedulerError> {
    let mut object = json!({
        "_class_name": class_name, "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "clip_sample": false
    });
    for (key, value) in keys.as_object().unwrap() {
        object[key] = value.clone();
    }
    SchedulerConfig::from_json(&object.to_string())
}

fn config(class_name: &str, keys: Value) -> SchedulerConfig {
    read(class_name, keys).unwrap()
}

pub(super) fn kind(name: &str) -> SchedulerKind {
    name.parse().unwrap()
}

fn scalar(value: f64) -> Tensor<4> {
    Tensor::full([1, 1, 1, 1], value, &Device::flex())
}

/// The end of a run in which the model always knows the clean sample and the noise.
fn sample_perfectly(keys: Value, kind: SchedulerKind, steps: usize, original: f64) -> f64 {
    let config = config(kind.spec().class_name, keys);
    let schedule = config.noise_schedule();
    let mut scheduler = config.build(kind, steps, 0.0).unwrap();
    let timesteps = scheduler.timesteps().to_vec();
    let mut sample = scalar(1.5 * scheduler.init_noise_sigma());
    for (index, timestep) in timesteps.iter().enumerate() {
        // The model sees latents of unit variance, whatever the scheduler's own scale.
        let input = scheduler.scale_model_input(sample.clone(), index);
        let alpha = 1.0 / (schedule.sigma(*timestep).powi(2) + 1.0);
        let (signal, noise) = (alpha.sqrt(), (1.0 - alpha).sqrt());
        let epsilon = (input - original * signal) / noise;
        let output = match schedule.prediction_type() {
            PredictionType::Epsilon => epsilon,
            PredictionType::VPrediction => epsilon * signal - original * noise,
        };
        let fresh = scheduler.needs_variance_noise(index).then(|| scalar(0.7));
        sample = scheduler.step(output, index, sample, fresh);
    }
    f64::from(sample.into_scalar::<f32>())
}

proptest! {
    #[test]
    fn a_perfect_model_ends_at_the_clean_sample(
        original in -0.9_f64..0.9,
        // Divisors of 1000: with others, trailing DDIM stops at timestep 0, as in diffusers.
        steps in prop::sample::select(vec![2_usize, 4, 5, 8, 10]),
        prediction_type in prop::sample::select(vec!["epsilon", "v_prediction"]),
        spacing in prop::sample::select(vec!["leading", "linspace", "trailing"]),
    ) {
        for kind in ["ddim", "ddpm", "euler", "euler-a", "dpm++", "unipc"].map(kind) {
            let keys = json!({
                "prediction_type": prediction_type, "timestep_spacing": spacing,
                "set_alpha_to_one": true
            });
            let end = sample_perfectly(keys, kind, steps, original);
            prop_assert!((end - original).abs() < 1e-3, "{kind}: {end} for {original}");
        }
    }

    /// DEIS ends at the first timestep of training, and not at the clean sample.
    #[test]
    fn a_perfect_model_keeps_its_noise_to_the_end_of_deis(
        original in -0.9_f64..0.9,
        steps in 1_usize..20,
        prediction_type in prop::sample::select(vec!["epsilon", "v_prediction"]),
        spacing in prop::sample::select(vec!["leading", "linspace", "trailing"]),
    ) {
        let keys = json!({ "prediction_type": prediction_type, "timestep_spacing": spacing });
        let config = config("DEISMultistepScheduler", keys.clone());
        let levels = |timestep: f64| {
            let alpha = config.noise_schedule().alpha_prod(timestep as usize);
            (alpha.sqrt(), (1.0 - alpha).sqrt())
        };
        let start = config.build(kind("deis"), steps, 0.0).unwrap().timesteps()[0];
        let (signal, noise) = levels(start);
        let seen = (1.5 - original * signal) / noise;
        let (signal, noise) = levels(0.0);
        let want = original * signal + seen * noise;
        let end = sample_perfectly(keys, kind("deis"), steps, original);
        prop_assert!((end - want).abs() < 1e-3, "{end} for {want}");
    }

    #[test]
    fn noise_and_velocity_models_sample_alike(
        original in -0.9_f64..0.9,
        steps in 2_usize..12,
    ) {
        for kind in SchedulerKind::all() {
            // PNDM mixes raw outputs of several timesteps, so only its single step is alike.
            let steps = if kind.name() == "pndm" { 1 } else { steps };
            let ends = ["epsilon", "v_prediction"].map(|prediction_type| {
                let keys = json!({ "prediction_type": prediction_type, "skip_prk_steps": true });
                sample_perfectly(keys, kind, steps, original)
            });
            prop_assert!((ends[0] - ends[1]).abs() < 1e-3, "{kind}: {ends:?}");
        }
    }

    #[test]
    fn no_number_of_steps_panics_or_gives_a_number_that_is_none(
        steps in 0_usize..26,
        train in 1_usize..24,
        steps_offset in 0_usize..3,
        spacing in prop::sample::select(vec!["leading", "linspace", "trailing"]),
        skip_prk_steps: bool,
        use_karras_sigmas: bool,
    ) {
        let keys = json!({
            "num_train_timesteps": train, "steps_offset": steps_offset,
            "timestep_spacing": spacing, "skip_prk_steps": skip_prk_steps,
            "use_karras_sigmas": use_karras_sigmas
        });
        for kind in SchedulerKind::all() {
            let config = config("PNDMScheduler", keys.clone());
            let Ok(mut scheduler) = config.build(kind, steps, 1.0) else { continue };
            let mut sample = scalar(1.0);
            for index in 0..scheduler.timesteps().len() {
                let noise = scheduler.needs_variance_noise(index).then(|| scalar(0.5));
                sample = scheduler.step(scalar(0.3), index, sample, noise);
            }
            prop_assert!(sample.into_scalar::<f32>().is_finite(), "{kind}");
        }
    }
}

#[test]
fn a_model_without_signal_at_its_end_is_drawn_from_there() {
    let keys = |prediction_type: &str| {
        json!({
            "rescale_betas_zero_snr": true, "prediction_type": prediction_type,
            "timestep_spacing": "trailing", "set_alpha_to_one": true
        })
    };
    for kind in ["ddim", "ddpm", "euler", "euler-a", "dpm++", "unipc"].map(kind) {
        let end = sample_perfectly(keys("v_prediction"), kind, 8, 0.6);
        assert!((end - 0.6).abs() < 1e-3, "{kind}: {end}");
    }
    let velocity = config("DDIMScheduler", keys("v_prediction"));
    let mut ddim = velocity.build(kind("ddim"), 8, 0.0).unwrap();
    assert_eq!(ddim.timesteps()[..2], [999.0, 874.0]);
    // there the latents are the noise, and the velocity minus the clean ones
    let stepped: f32 = ddim.step(scalar(-0.6), 0, scalar(1.5), None).into_scalar();
    let alpha_prod = velocity.noise_schedule().alpha_prod(874);
    let want = alpha_prod.sqrt() * 0.6 + (1.0 - alpha_prod).sqrt() * 1.5;
    assert!((f64::from(stepped) - want).abs() < 2e-6, "{stepped} {want}");
    for name in ["pndm", "lms", "deis"] {
        let refused = velocity.build(kind(name), 8, 0.0).unwrap_err().to_string();
        assert!(refused.contains("`rescale_betas_zero_snr`"), "{refused}");
    }
    let mut noise = keys("epsilon");
    noise["_class_name"] = json!("DDIMScheduler");
    let refused = SchedulerConfig::from_json(&noise.to_string()).unwrap_err().to_string();
    assert!(refused.contains("for a model that predicts the noise"), "{refused}");
}

/// By the samples: under a model that sees the same noise everywhere these move as the sigmas do, and in
/// the solvers' variables, under one that sees none, as the signal's levels.
#[test]
fn the_seventh_roots_of_karras_sigmas_are_evenly_spaced() {
    let keys = json!({
        "use_karras_sigmas": true, "timestep_spacing": "leading", "steps_offset": 1
    });
    let (of_spacing, of_training) = ([801.0, 1.0], [999.0, 0.0]);
    for (name, ends) in [
        ("euler", of_spacing),
        ("lms", of_spacing),
        ("dpm++", of_training),
        ("deis", of_training),
        ("unipc", of_training),
    ] {
        let config = config(kind(name).spec().class_name, keys.clone());
        let schedule = config.noise_schedule();
        let [first, last] = ends.map(|timestep| schedule.sigma(timestep).powf(1.0 / 7.0));
        let mut sigmas: Vec<f64> =
            (0..5).map(|step| (first + f64::from(step) / 4.0 * (last - first)).powi(7)).collect();
        let mut scheduler = config.build(kind(name), 5, 0.0).unwrap();
        let timesteps = scheduler.timesteps().to_vec();
        assert!((timesteps[0] - ends[0]).abs() < 1e-3, "{name}: {timesteps:?}");
        for (timestep, sigma) in timesteps.iter().zip(&sigmas) {
            let found = schedule.sigma(*timestep);
            assert!((found / sigma - 1.0).abs() < 0.02, "{name}: {found} for {sigma}");
        }
        let end = if name == "deis" { sigmas[4] } else { 0.0 };
        sigmas.push(end);
        let level = |sigma: f64| 1.0 / (sigma * sigma + 1.0).sqrt();
        let solver = ends == of_training;
        let (noise, mut sample) = if solver { (0.0, scalar(1.0)) } else { (1.0, scalar(0.0)) };
        for index in 0..5 {
            sample = scheduler.step(scalar(noise), index, sample, None);
            let found = f64::from(sample.clone().into_scalar::<f32>());
            let want = match solver {
                true => level(sigmas[index + 1]) / level(sigmas[0]),
                false => sigmas[index + 1] - sigmas[0],
            };
            assert!((found - want).abs() < 1e-4 * want.abs(), "{name}: {found} for {want}");
        }
    }
}

/// By the numbers of diffusers 0.35, whose DPM-Solver++ rounds the timesteps.
#[test]
fn karras_sigmas_end_where_the_file_says() {
    let keys = json!({ "use_karras_sigmas": true, "sigma_min": 0.1, "sigma_max": 10.0 });
    let file = config("EulerDiscreteScheduler", keys);
    let timesteps: [f64; 5] = [933.50665, 748.32983, 467.03787, 139.50237, 10.38217];
    for (name, rounded) in [("euler", false), ("dpm++", true), ("unipc", true)] {
        let scheduler = file.build(kind(name), 5, 0.0).unwrap();
        for (found, want) in scheduler.timesteps().iter().zip(timesteps) {
            let want = if rounded { want.round() } else { want };
            assert!((found - want).abs() < 1e-3, "{name}: {found} for {want}");
        }
    }
    let mut deis = file.build(kind("deis"), 5, 0.0).unwrap();
    let ends =
        (0..5).fold(scalar(1.0), |sample, index| deis.step(scalar(0.0), index, sample, None));
    // the level of the signal at sigma 0.1 over that at 10
    let want = (101.0_f64 / 1.01).sqrt();
    assert!((f64::from(ends.into_scalar::<f32>()) / want - 1.0).abs() < 1e-5, "deis");
    let mut euler = file.build(kind("euler"), 5, 0.0).unwrap();
    assert!((euler.init_noise_sigma() - 10.0).abs() < 1e-6);
    let mut sample = scalar(0.0);
    for (index, sigma) in [4.0701, 1.45073, 0.43245, 0.1, 0.0].into_iter().enumerate() {
        sample = euler.step(scalar(1.0), index, sample, None);
        let found = f64::from(sample.clone().into_scalar::<f32>());
        assert!((found - (sigma - 10.0)).abs() < 1e-3, "{index}: {found}");
    }
    let refused = file.build(kind("lms"), 5, 0.0).unwrap_err().to_string();
    assert!(refused.contains("`sigma_max`"), "{refused}");
    // without Karras' sigmas they say nothing
    let timesteps = |keys| {
        let file = config("EulerDiscreteScheduler", keys);
        file.build(kind("lms"), 5, 0.0).unwrap().timesteps().to_vec()
    };
    assert_eq!(timesteps(json!({ "sigma_min": 0.1, "sigma_max": 10.0 })), timesteps(json!({})));
    let wrong = read("PNDMScheduler", json!({ "sigma_min": 0 })).unwrap_err().to_string();
    assert!(wrong.contains("`sigma_min`") && wrong.contains("above 0"), "{wrong}");
}

#[test]
fn ddim_clips_the_clean_sample_unless_the_file_says_otherwise() {
    // at the last call, where the clean sample is some 30 and no noise is left
    let stepped = |keys: Value| {
        let mut ddim = config("DDIMScheduler", keys).build(kind("ddim"), 10, 0.0).unwrap();
        ddim.step(scalar(0.0), 9, scalar(30.0), None).into_scalar::<f32>()
    };
    assert_eq!(stepped(json!({ "clip_sample": null })), 1.0);
    assert_eq!(stepped(json!({ "clip_sample": true, "clip_sample_range": 2.0 })), 2.0);
    assert!(stepped(json!({ "clip_sample": false })) > 29.0);
}

#[test]
fn a_scheduler_runs_twice_alike() {
    for kind in SchedulerKind::all() {
        let config = config("PNDMScheduler", json!({ "skip_prk_steps": true }));
        let mut scheduler = config.build(kind, 5, 0.0).unwrap();
        let mut run = || -> f32 {
            let mut sample = scalar(1.0);
            for index in 0..scheduler.timesteps().len() {
                let noise = scheduler.needs_variance_noise(index).then(|| scalar(0.5));
                sample = scheduler.step(sample.clone() * 0.3, index, sample, noise);
            }
            sample.into_scalar()
        };
        assert_eq!(run(), run(), "{kind}");
    }
}
