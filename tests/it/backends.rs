//! One training step, one evaluation and one sampling step, the same code on every backend of
//! this build, each against the golden.

use burn::tensor::{DType, Device, Tensor};
use dvar::{
    optim::{AdamWConfig, OptimizerConfig},
    pipelines::{ModelFolder, PromptEncoder, Prompts},
    tensor::{DeviceError, on_device},
};
use dvar_models::unet::UNet2DConditionModel;

use crate::{
    golden::{self, Tensors, assert_close, assert_relative, number},
    support::{encode, gpu, prompt_encoder, prompt_ids, tensor, tiny, values},
};

/// The golden step on a device, its networks in a type.
pub struct Step {
    pub golden: Tensors,
    model: ModelFolder,
    encoder: PromptEncoder,
    pub unet: UNet2DConditionModel,
    noise: Tensor<4>,
    noisy: Tensor<4>,
    prompts: Prompts,
    pub concept: Tensor<2>,
}

impl Step {
    pub fn open(side: &str, dtype: DType, device: &Device) -> Self {
        let golden = Tensors::open(&format!("ti_grad_{side}"));
        let model = tiny(side).with_precision(dtype);
        let encoder = prompt_encoder(&model, device);
        let unet = model.load_unet(device).unwrap();
        let noise = tensor::<4>(golden.get("noise"), device);
        let times = golden.get("timesteps").usize();
        let latents = tensor::<4>(golden.get("latents"), device);
        let noisy = model.scheduler().noise_schedule().add_noise(latents, noise.clone(), &times);
        let prompts = encoder.prepare(&prompt_ids(golden.get("input_ids")));
        let concept = tensor::<2>(golden.get("concept_embedding"), device);
        Self { golden, model, encoder, unet, noise, noisy, prompts, concept }
    }

    /// Its loss at these vectors, by this denoiser.
    pub fn loss(&self, unet: &UNet2DConditionModel, vectors: &Tensor<2>) -> Tensor<1> {
        let states = encode(&self.encoder, &self.prompts, vectors);
        assert_eq!(states.dtype(), DType::F32);
        let times = &self.golden.get("timesteps").values;
        let noise_pred = unet.forward(self.noisy.clone(), times, states);
        assert_eq!(noise_pred.dtype(), DType::F32);
        (noise_pred - self.noise.clone()).square().mean()
    }

    /// Its loss at the golden's vectors, whenever it is called.
    pub fn evaluate(&self) -> Vec<f64> {
        values(self.loss(&self.unet, &self.concept))
    }
}

/// Asserts that this backend's results are the golden's within its README's tolerances.
fn agrees(name: &str, device: &Device) {
    let step = Step::open("sd", DType::F32, device);
    let Step { model, unet, concept, .. } = &step;
    let get = |name: &str| step.golden.get(name);
    let label = |what: &str| format!("{name} {what}");
    let first = step.evaluate();
    assert_close(&label("evaluation"), &first, &get("loss").values, 2e-6, 0.0);
    assert_eq!(first, step.evaluate(), "{name}: two evaluations of the same vectors differ");

    let checkpointed = unet.clone().with_gradient_checkpointing();
    for (what, unet) in [("gradient", unet), ("gradient by checkpointing", &checkpointed)] {
        let tracked = concept.clone().autodiff().require_grad();
        let loss = step.loss(unet, &tracked);
        let gradient = values(tracked.grad(&loss.backward()).unwrap());
        assert_relative(&label(what), &gradient, &get("grad_concept").values, 2e-5);
    }

    // the update of the step, from the golden gradient on the host in double precision
    let mut optimizer = AdamWConfig::default().init(std::slice::from_ref(concept));
    let wanted = tensor::<2>(get("grad_concept"), device);
    let updated = values(optimizer.update(vec![concept.clone()], vec![wanted], 1e-2).remove(0));
    let AdamWConfig { epsilon, weight_decay, .. } = AdamWConfig::default();
    let update =
        |(p, g): (&f64, &f64)| p * (1.0 - 1e-2 * weight_decay) - 1e-2 * g / (g.abs() + epsilon);
    let pairs = get("concept_embedding").values.iter().zip(&get("grad_concept").values);
    assert_close(&label("update"), &updated, &pairs.map(update).collect::<Vec<_>>(), 1e-6, 0.0);

    let (golden, meta) = (Tensors::open("sampling_sd"), golden::json("sampling_sd"));
    let steps = number(&meta["steps"]) as usize;
    let mut scheduler = model.scheduler().build("pndm".parse().unwrap(), steps, 0.0).unwrap();
    let latents = tensor::<4>(golden.get("initial_latents"), device);
    let predict = |states: &str| {
        let [count, ..] = latents.dims();
        let times = vec![scheduler.timesteps()[0]; count];
        unet.forward(latents.clone(), &times, tensor(golden.get(states), device))
    };
    let (text, negative) = (predict("prompt_embeds"), predict("uncond_embeds"));
    let guided = negative.clone() + (text - negative).mul_scalar(number(&meta["guidance"]));
    let latents = values(scheduler.step(guided, 0, latents.clone(), None));
    let want = &golden.get("latents_per_step").values[..latents.len()];
    assert_close(&label("sampling step"), &latents, want, 1e-3, 0.0);
}

#[test]
fn flex_agrees_with_the_golden() {
    agrees("flex", &Device::flex());
}

#[allow(deprecated)] // burn would have everybody take flex; here the two are compared
#[test]
fn ndarray_agrees_with_the_golden() {
    agrees("ndarray", &Device::ndarray());
}

#[test]
#[ignore = "wants a GPU, or a software adapter: `DVAR_DEVICE` names it"]
fn the_gpu_agrees_with_the_golden() {
    let (name, device) = gpu();
    on_device(&device, || agrees(&name, &device)).unwrap();
}

#[test]
#[ignore = "wants a GPU, or a software adapter: `DVAR_DEVICE` names it"]
fn the_gpu_gives_repeated_evaluations_the_same_bits() {
    let (name, device) = gpu();
    // on a software adapter a thousand take some minutes
    let count = std::env::var("DVAR_EVALUATIONS").map_or(50, |count| count.parse().unwrap());
    let different = on_device(&device, || {
        let step = Step::open("sd", DType::F32, &device);
        let first = step.evaluate();
        (1..count).filter(|_| step.evaluate() != first).count()
    });
    println!("{name}: {different:?} of {count} evaluations differ from the first");
    assert_eq!(different, Ok(0));
}

/// What burn asks before it works in place: with another answer the next operation gives a tensor
/// of other strides.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
#[test]
#[ignore = "wants a GPU, or a software adapter: `DVAR_DEVICE` names it"]
fn the_gpu_may_reuse_each_of_100_000_new_buffers() {
    let (name, device) = gpu();
    // by batches, so that the thread is at work on some while others are asked for
    let refused = || {
        let new = || Tensor::<1>::empty([64], &device).try_into_primitive::<burn::backend::Cube>();
        let batch = || {
            let made: Vec<_> = (0..32).map(|_| new().unwrap()).collect();
            made.iter().filter(|one| (0..50).any(|_| !one.can_mut())).count()
        };
        (0..3125).map(|_| batch()).sum::<usize>()
    };
    println!("{name}: {} of 100,000 refused elsewhere than on its thread", refused());
    assert_eq!(on_device(&device, refused), Ok(0));
}

#[test]
#[ignore = "wants a GPU, or a software adapter: `DVAR_DEVICE` names it"]
fn the_gpu_reports_a_panic_of_its_thread_and_goes_on() {
    let (_, device) = gpu();
    let panicked = on_device(&device, || panic!("no kernel ({})", 1));
    assert_eq!(panicked.map(|()| 0), Err(DeviceError::new("no kernel (1)")));
    let read = || values(Tensor::<1>::from_floats([3.0], &device));
    assert_eq!(on_device(&device, read), Ok(vec![3.0]));
}
