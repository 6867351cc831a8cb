//! Golden tensors as burn tensors, and the golden models.

use std::sync::OnceLock;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dvar::pipelines::{
    LATENT_DIFFUSION, ModelFolder, PromptEncoder, PromptIds, PromptTokenizers, Prompts, TimeIds,
};
use dvar_models::weights::Folder;

use crate::golden::{self, Golden, Tensors};

/// A golden tensor on a device, as f32.
pub fn tensor<const D: usize>(golden: &Golden, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(golden.f32(), golden.shape.clone()), device)
}

/// Golden token ids, one list for each row.
pub fn rows(golden: &Golden) -> Vec<Vec<u32>> {
    let length = golden.shape[1];
    golden.values.chunks(length).map(|row| row.iter().map(|id| *id as u32).collect()).collect()
}

/// Golden token ids of prompts for the only text encoder.
pub fn prompt_ids(golden: &Golden) -> Vec<PromptIds> {
    rows(golden).into_iter().map(|ids| PromptIds(vec![ids])).collect()
}

/// What the names of golden tensors end in, for each of a model's text encoders.
pub fn of_encoders(model: &ModelFolder) -> Vec<&'static str> {
    match model.embedding_widths().0.len() {
        1 => vec![""],
        count => ["_1", "_2"][..count].to_vec(),
    }
}

/// Golden token ids of prompts for all of a model's text encoders.
pub fn prompts_of(model: &ModelFolder, golden: &Tensors, key: &str) -> Vec<PromptIds> {
    let ends = of_encoders(model);
    let each = ends.iter().map(|end| rows(golden.get(&format!("{key}{end}"))));
    let each: Vec<_> = each.collect();
    let prompt = |row: usize| PromptIds(each.iter().map(|encoder| encoder[row].clone()).collect());
    (0..each[0].len()).map(prompt).collect()
}

/// Golden vectors for all of a model's text encoders.
pub fn vectors_of(model: &ModelFolder, golden: &Tensors, device: &Device) -> Vec<Tensor<2>> {
    let ends = of_encoders(model).into_iter();
    let vectors = ends.map(|end| tensor(golden.get(&format!("concept_embedding{end}")), device));
    vectors.collect()
}

/// Golden sizes of pictures.
pub fn time_ids(golden: &Golden) -> Vec<TimeIds> {
    let rows = golden.f32();
    rows.as_chunks().0.iter().map(|numbers| TimeIds(*numbers)).collect()
}

/// Whether the set has the model; if not, says what is left out. SDXL's is larger than what the
/// repository holds.
pub fn has_model(side: &str) -> bool {
    let has = golden::find(&format!("models/tiny-{side}")).exists();
    if !has {
        println!("left out: the set has no models/tiny-{side} (see CONTRIBUTING.md)");
    }
    has
}

/// The hidden states of the only text encoder.
pub fn encode(encoder: &PromptEncoder, prompts: &Prompts, vectors: &Tensor<2>) -> Tensor<3> {
    encoder.encode(prompts, std::slice::from_ref(vectors), &[]).hidden_states
}

/// What there is for the only text encoder.
pub fn only<T>(each: Vec<T>) -> T {
    let [only] = each.try_into().unwrap_or_else(|_| panic!("there are several text encoders"));
    only
}

/// Ids as a tensor.
pub fn ids(rows: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let flat: Vec<i32> = rows.iter().flatten().map(|id| *id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), rows[0].len()]), device)
}

/// A tensor's values, for comparison.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// `models/{name}` of the golden set.
pub fn files(name: &str) -> Folder {
    Folder(golden::find(&format!("models/{name}")))
}

/// The two families, as the golden files are called.
pub const SIDES: [&str; 2] = ["sd", "ldm"];

/// All models whose text encoder, denoiser and gradient the sets hold.
pub const MODELS: [&str; 3] = ["sd", "ldm", "sd2"];

/// The golden folder of a side.
pub fn tiny(side: &str) -> ModelFolder {
    ModelFolder::open(&golden::find(&format!("models/tiny-{side}")))
        .expect("the golden model opens")
}

/// The golden Stable Diffusion folder.
pub fn tiny_sd() -> ModelFolder {
    tiny("sd")
}

/// A golden model's tokenizers, with the set's placeholder as a token of so many vectors.
pub fn tokenizers_of(model: &ModelFolder, side: &str, num_vectors: usize) -> PromptTokenizers {
    let mut tokenizers = model.tokenizers().expect("the golden tokenizer opens");
    let (meta, id) = match side {
        "sd" | "ldm" => {
            let kind = if side == "ldm" { "bert" } else { "clip" };
            let meta = golden::json(&format!("tokenizer_{kind}"));
            let id = meta["placeholder_id"].clone();
            (meta, id)
        }
        _ => {
            let meta = golden::json("tokenizer_more");
            let id = meta["tokenizers"][format!("tiny-{side}/tokenizer")]["placeholder_id"].clone();
            (meta, id)
        }
    };
    let placeholder = meta["placeholder"].as_str().expect("a placeholder");
    tokenizers.add_placeholder(placeholder, num_vectors).expect("a new token");
    let added = tokenizers.placeholder_ids()[0][0];
    assert_eq!(u64::from(added), id.as_u64().expect("an id"));
    tokenizers
}

/// The same for a model of the two families, of one vector.
pub fn tokenizers(model: &ModelFolder) -> PromptTokenizers {
    let side = if model.family() == &LATENT_DIFFUSION { "ldm" } else { "sd" };
    tokenizers_of(model, side, 1)
}

/// The text encoder of a golden model of this name.
pub fn encoder_of(model: &ModelFolder, side: &str, device: &Device) -> PromptEncoder {
    encoders_of(model, side, 1, device)
}

/// All text encoders of a golden model of this name, for so many learned vectors.
pub fn encoders_of(
    model: &ModelFolder,
    side: &str,
    num_vectors: usize,
    device: &Device,
) -> PromptEncoder {
    let tokenizers = tokenizers_of(model, side, num_vectors);
    model.load_prompt_encoder(tokenizers, device).expect("the golden text encoders load")
}

/// A golden model's text encoder, with the set's placeholder as a token.
pub fn prompt_encoder(model: &ModelFolder, device: &Device) -> PromptEncoder {
    let tokenizers = tokenizers(model);
    model.load_prompt_encoder(tokenizers, device).expect("the golden text encoder loads")
}

/// The GPU that `DVAR_DEVICE` names (`cuda:0`, `cuda:1`, ..., `vulkan`, `wgpu`, `webgpu`) and its name.
/// By default the adapter that wgpu finds, a software one too.
pub fn gpu() -> (String, Device) {
    // a process opens wgpu's device once
    static GPU: OnceLock<(String, Device)> = OnceLock::new();
    GPU.get_or_init(open_gpu).clone()
}

fn open_gpu() -> (String, Device) {
    let name = std::env::var("DVAR_DEVICE").unwrap_or_else(|_| "wgpu".into());
    let (kind, index) = name.split_once(':').unwrap_or((&name, "0"));
    let device = match kind {
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(index.parse::<usize>().expect("a number after `cuda:`")),
        #[cfg(feature = "vulkan")]
        "vulkan" => {
            let vulkan = burn::tensor::wgpu::WgpuBackend::Vulkan;
            Device::wgpu_options().graphics_api(vulkan).init().unwrap()
        }
        #[cfg(feature = "wgpu")]
        "wgpu" => Device::wgpu_options().init().unwrap(),
        #[cfg(feature = "wgpu")]
        "webgpu" => Device::wgpu_options().setup(as_every_browser()).init().unwrap(),
        _ => panic!("this build has no GPU `{name}` ({kind} number {index})"),
    };
    (name, device)
}

/// The adapter that wgpu finds, with no more than WebGPU's default limits, which every browser has: 256
/// invocations and 16 KiB for a workgroup, 8 storage buffers. wgpu refuses kernels that want more. Of its
/// features it has the types that burn asks the adapter for; a browser's adapter has no 64 bits.
#[cfg(feature = "wgpu")]
fn as_every_browser() -> burn::tensor::wgpu::WgpuSetup {
    use burn::tensor::wgpu::{WgpuSetup, wgpu};

    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let types = wgpu::Features::SHADER_INT64 | wgpu::Features::SHADER_F64;
    let wanted = wgpu::DeviceDescriptor {
        required_features: adapter.features() & (types | wgpu::Features::SHADER_F16),
        required_limits: wgpu::Limits::default(),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&wanted)).unwrap();
    let backend = adapter.get_info().backend;
    WgpuSetup { instance, adapter, device, queue, backend }
}
