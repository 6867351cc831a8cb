//! Parity of the schedulers with diffusers: every recorded trajectory, step by step and whole.

use std::{collections::BTreeMap, fs, path::Path, rc::Rc};

use burn::tensor::{Device, Tensor};
use dvar::{
    pipelines::ModelFolder,
    schedulers::{Scheduler, SchedulerConfig},
};
use dvar_models::weights::Memory;
use serde_json::{Map, Value, json};

use crate::{
    golden::{self, Golden, Tensors, assert_close, number},
    support::{self, values},
};

fn tensor(golden: &Golden) -> Tensor<4> {
    support::tensor(golden, &Device::flex())
}

fn alphas_cumprod(config: &SchedulerConfig) -> Vec<f64> {
    config.noise_schedule().alphas_cumprod().iter().map(|alpha| f64::from(*alpha)).collect()
}

/// The noise schedule of the set, under a class that reads nothing else.
fn base_config(json: &Value) -> SchedulerConfig {
    let mut keys = json["base"].clone();
    keys["_class_name"] = json!("PNDMScheduler");
    SchedulerConfig::from_json(&keys.to_string()).unwrap()
}

/// All recorded runs, with the tensors of their set; those of the further set where it has some.
fn cases() -> Vec<(Case, Rc<Tensors>)> {
    let (json, tensors) = (golden::json("schedulers"), Rc::new(Tensors::open("schedulers")));
    let first = Case::all(&json).into_iter().map(|case| (case, tensors.clone()));
    let more = more();
    if more.is_none() {
        println!("left out: the further set has no schedulers_more (see CONTRIBUTING.md)");
    }
    let others = [Some(samplers()), more].into_iter().flatten().flat_map(|(json, tensors)| {
        more_cases(&json).into_iter().map(move |case| (case, tensors.clone()))
    });
    first.chain(others).collect()
}

/// The runs of `tests/fixtures/samplers`: Euler a, DEIS and UniPC.
fn samplers() -> (Value, Rc<Tensors>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/samplers");
    let tensors = Tensors::at(&folder.join("golden.safetensors"));
    (golden::json_at(&folder.join("cases.json")), Rc::new(tensors))
}

/// The further set: by velocity, and with the spacings of SDXL.
fn more() -> Option<(Value, Rc<Tensors>)> {
    let path = golden::more().join("golden/schedulers_more.json");
    let tensors = || Rc::new(Tensors::open("schedulers_more"));
    path.exists().then(|| (golden::json_at(&path), tensors()))
}

/// The runs of the further set, or of another that is told as it is.
fn more_cases(json: &Value) -> Vec<Case> {
    let cases = json["cases"].as_object().expect("cases").iter().map(|(name, case)| {
        let mut keys = case["config"].clone();
        keys["_class_name"] = case["scheduler"].clone();
        let steps = case["steps"].as_u64().expect("steps") as usize;
        Case {
            name: name.into(),
            steps,
            eta: 0.0,
            tolerance: if steps >= 50 { 1e-4 } else { 1e-5 },
            karras: keys["use_karras_sigmas"] == json!(true),
            config: SchedulerConfig::from_json(&keys.to_string()).unwrap(),
            init_noise_sigma: number(&case["init_noise_sigma"]),
        }
    });
    cases.collect()
}

#[test]
fn variants_that_are_not_implemented_are_refused_by_their_keys() {
    for key in ["use_beta_sigmas", "use_exponential_sigmas"] {
        let mut keys = golden::json("schedulers")["base"].clone();
        keys["_class_name"] = json!("EulerDiscreteScheduler");
        keys[key] = json!(true);
        let built = SchedulerConfig::from_json(&keys.to_string());
        let euler = "euler".parse().unwrap();
        let built = built.and_then(|config| config.build(euler, 8, 0.0).map(|_| ()));
        let error = built.unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn old_files_of_stable_diffusion_draw_as_its_pipeline_in_diffusers_corrects_them() {
    let folder = golden::root().join("models/tiny-sd");
    let drawn = |more: Value| {
        let parts = ["text_encoder", "unet", "vae"].map(|part| format!("{part}/config.json"));
        let configs = parts.map(|file| (file.clone(), fs::read(folder.join(file)).unwrap().into()));
        let mut files = BTreeMap::from(configs);
        let mut keys = golden::json("schedulers")["base"].clone();
        keys["_class_name"] = json!("DDIMScheduler");
        for key in ["steps_offset", "clip_sample"] {
            keys[key] = more[key].clone();
        }
        let file = "scheduler/scheduler_config.json";
        files.insert(file.into(), keys.to_string().into_bytes().into());
        let model = ModelFolder::new(Memory(files), "model".into()).unwrap();
        let config = model.scheduler();
        let mut scheduler = config.build(config.kind(), 5, 0.0).unwrap();
        let sample = Tensor::full([1, 1, 1, 1], 30.0, &Device::flex());
        let stepped = scheduler.step(sample.clone() * 0.1, 4, sample, None);
        (scheduler.timesteps().to_vec(), values(stepped))
    };
    let right = drawn(json!({ "steps_offset": 1, "clip_sample": false }));
    assert_eq!(right.0.last(), Some(&1.0));
    assert_eq!(drawn(json!({})), right);
    assert_eq!(drawn(json!({ "steps_offset": 0, "clip_sample": true })), right);
}

#[test]
fn old_files_of_stable_diffusion_draw_as_large_as_its_pipeline_in_diffusers_corrects_them() {
    let folder = golden::root().join("models/tiny-sd");
    let resolution = |version: &str| {
        let files = ["text_encoder/config", "vae/config", "scheduler/scheduler_config"];
        let files = files.map(|file| format!("{file}.json"));
        let files = files.map(|file| (file.clone(), fs::read(folder.join(file)).unwrap().into()));
        let mut files = BTreeMap::from(files);
        let mut unet = golden::json_at(&folder.join("unet/config.json"));
        (unet["_diffusers_version"], unet["sample_size"]) = (json!(version), json!(32));
        files.insert("unet/config.json".into(), unet.to_string().into_bytes().into());
        ModelFolder::new(Memory(files), "model".into()).unwrap().native_resolution()
    };
    assert_eq!(resolution("0.8.1"), 2 * resolution("0.9.0"));
}

struct Case {
    name: String,
    steps: usize,
    eta: f64,
    /// `trajectories 1e-5 rel to max (50 steps: 1e-4)`.
    tolerance: f64,
    config: SchedulerConfig,
    init_noise_sigma: f64,
    /// Whether the timesteps are those of the sigmas, and not the other way round.
    karras: bool,
}

impl Case {
    fn all(json: &Value) -> Vec<Self> {
        let cases = json["cases"].as_object().expect("cases");
        assert!(!cases.is_empty());
        cases.iter().map(|(name, case)| Self::read(name, case, &json["base"])).collect()
    }

    fn read(name: &str, case: &Value, base: &Value) -> Self {
        let mut keys: Map<String, Value> = base.as_object().expect("base").clone();
        keys.insert("_class_name".into(), case["scheduler"].clone());
        // Recorded only where it is on.
        keys.insert("clip_sample".into(), json!(false));
        // Recorded only in some cases: where the spacing has an offset it ends there.
        let timesteps = golden::numbers(&case["timesteps"]);
        let smallest = timesteps.iter().copied().fold(f64::INFINITY, f64::min);
        keys.insert("steps_offset".into(), json!(smallest as usize));
        for (key, value) in case.as_object().expect("a case") {
            if !["scheduler", "steps", "timesteps", "eta", "note"].contains(&key.as_str()) {
                keys.insert(key.clone(), value.clone());
            }
        }
        let steps = case["steps"].as_u64().expect("steps") as usize;
        Self {
            name: name.into(),
            steps,
            eta: case.get("eta").map_or(0.0, number),
            tolerance: if steps >= 50 { 1e-4 } else { 1e-5 },
            karras: false,
            config: SchedulerConfig::from_json(&Value::Object(keys).to_string()).unwrap(),
            init_noise_sigma: number(&case["init_noise_sigma"]),
        }
    }

    fn scheduler(&self) -> Box<dyn Scheduler> {
        self.config.build(self.config.kind(), self.steps, self.eta).unwrap()
    }

    fn get<'a>(&self, tensors: &'a Tensors, key: &str) -> &'a Golden {
        tensors.get(&format!("{}.{key}", self.name))
    }

    fn variance_noise(&self, tensors: &Tensors, index: usize) -> Option<Tensor<4>> {
        let key = format!("{}.variance_noise", self.name);
        tensors.has(&key).then(|| tensor(&tensors.get(&key).row(index)))
    }
}

/// The stand-in for a model that the recorded runs called: `0.3 * x + 0.5 * sin(1.7 * x + 0.01 * t)`.
fn fake_model(input: Tensor<4>, timestep: f64) -> Tensor<4> {
    input.clone() * 0.3 + (input * 1.7 + timestep * 0.01).sin() * 0.5
}

#[test]
fn every_schedulers_timesteps_and_sigmas_are_diffusers() {
    for (case, tensors) in &cases() {
        let scheduler = case.scheduler();
        let fractional = ["euler", "euler-a", "lms"].contains(&case.config.kind().name());
        let timesteps = &case.get(tensors, "timesteps").values;
        let tolerance = if fractional { 1e-3 } else { 0.0 };
        let label = |what| format!("{} {what}", case.name);
        assert_close(&label("timesteps"), scheduler.timesteps(), timesteps, tolerance, 0.0);
        let sigma = [scheduler.init_noise_sigma()];
        assert_close(&label("init_noise_sigma"), &sigma, &[case.init_noise_sigma], 0.0, 1e-6);
        if !case.karras && tensors.has(&format!("{}.sigmas", case.name)) {
            let schedule = case.config.noise_schedule();
            let sigmas = scheduler.timesteps().iter().map(|timestep| schedule.sigma(*timestep));
            let sigmas: Vec<f64> = sigmas.chain([0.0]).collect();
            assert_close(&label("sigmas"), &sigmas, &case.get(tensors, "sigmas").values, 0.0, 1e-6);
        }
    }
}

#[test]
fn every_step_from_a_recorded_sample_ends_at_the_next_one() {
    for (case, tensors) in &cases() {
        let mut scheduler = case.scheduler();
        let samples = case.get(tensors, "samples");
        let model_outputs = case.get(tensors, "model_outputs");
        assert_eq!(scheduler.timesteps().len(), model_outputs.shape[0], "{}", case.name);
        let (mut got, mut want) = (Vec::new(), Vec::new());
        for index in 0..model_outputs.shape[0] {
            let sample = scheduler.step(
                tensor(&model_outputs.row(index)),
                index,
                tensor(&samples.row(index)),
                case.variance_noise(tensors, index),
            );
            got.extend(values(sample));
            want.extend(samples.row(index + 1).values);
        }
        // a first step from a sigma of 4,096 to a small one keeps the last digits of where it began
        let largest = samples.values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        let digits = 2.0 * f64::from(f32::EPSILON) * largest;
        assert_close(&format!("{} steps", case.name), &got, &want, digits, case.tolerance);
    }
}

#[test]
fn every_whole_trajectory_with_the_recorded_model_outputs_is_diffusers() {
    every_trajectory("outputs", |case, tensors, _input, _timestep, index| {
        tensor(&case.get(tensors, "model_outputs").row(index))
    });
}

#[test]
fn every_whole_trajectory_with_the_fake_model_is_diffusers() {
    let formula = golden::json("schedulers")["fake_model"].as_str().map(str::to_owned);
    assert_eq!(formula.as_deref(), Some("eps(x,t) = 0.3*x + 0.5*sin(1.7*x + 0.01*t)"));
    every_trajectory("model", |_case, _tensors, input, timestep, _index| {
        fake_model(input, timestep)
    });
}

fn every_trajectory(
    label: &str,
    model: impl Fn(&Case, &Tensors, Tensor<4>, f64, usize) -> Tensor<4>,
) {
    for (case, tensors) in &cases() {
        let mut scheduler = case.scheduler();
        let samples = case.get(tensors, "samples");
        let mut sample = tensor(tensors.get("traj.x_init")) * scheduler.init_noise_sigma();
        let mut got = values(sample.clone());
        for (index, timestep) in scheduler.timesteps().to_vec().into_iter().enumerate() {
            let input = scheduler.scale_model_input(sample.clone(), index);
            let output = model(case, tensors, input, timestep, index);
            sample = scheduler.step(output, index, sample, case.variance_noise(tensors, index));
            got.extend(values(sample.clone()));
        }
        let name = format!("{} trajectory by {label}", case.name);
        assert_close(&name, &got, &samples.values, 0.0, case.tolerance);
    }
}

#[test]
fn cumulative_alphas_are_torchs() {
    let (json, tensors) = (golden::json("schedulers"), Tensors::open("schedulers"));
    let alphas = alphas_cumprod(&base_config(&json));
    assert_close("alphas_cumprod", &alphas, &tensors.get("alphas_cumprod").values, 1e-6, 0.0);
    for schedule in ["linear", "squaredcos_cap_v2"] {
        let key = format!("alphas_cumprod.{schedule}");
        let config = json!({
            "_class_name": "DDPMScheduler", "beta_schedule": schedule,
            "num_train_timesteps": tensors.get(&key).values.len()
        });
        let alphas = alphas_cumprod(&SchedulerConfig::from_json(&config.to_string()).unwrap());
        assert_close(&key, &alphas, &tensors.get(&key).values, 1e-6, 0.0);
    }
}

#[test]
fn noisy_latents_are_diffusers() {
    let (json, tensors) = (golden::json("schedulers"), Tensors::open("schedulers"));
    let noisy = base_config(&json).noise_schedule().add_noise(
        tensor(tensors.get("add_noise.x")),
        tensor(tensors.get("add_noise.noise")),
        &tensors.get("add_noise.timesteps").usize(),
    );
    let want = &tensors.get("add_noise.out").values;
    assert_close("add_noise", &values(noisy), want, 0.0, 1e-6);
}
