//! Golden tensors as burn tensors, and the golden models.

use burn::tensor::{Device, Int, Tensor, TensorData};
use dvar::pipelines::{ModelFamily, ModelFolder, PromptEncoder};
use dvar_models::{tokenizer::PromptTokenizer, weights::ModelFiles};

use crate::golden::{self, Golden};

/// A golden tensor on a device, as f32.
pub fn tensor<const D: usize>(golden: &Golden, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(golden.f32(), golden.shape.clone()), device)
}

/// Golden token ids, one list for each row.
pub fn rows(golden: &Golden) -> Vec<Vec<u32>> {
    let length = golden.shape[1];
    golden.values.chunks(length).map(|row| row.iter().map(|id| *id as u32).collect()).collect()
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
pub fn files(name: &str) -> ModelFiles {
    ModelFiles::Folder(golden::root().join("models").join(name))
}

/// The two families, as the golden files are called.
pub const SIDES: [&str; 2] = ["sd", "ldm"];

/// The golden folder of a side.
pub fn tiny(side: &str) -> ModelFolder {
    let folder = golden::root().join(format!("models/tiny-{side}"));
    ModelFolder::open(&folder).expect("the golden model opens")
}

/// The golden Stable Diffusion folder.
pub fn tiny_sd() -> ModelFolder {
    tiny("sd")
}

/// A golden model's tokenizer, with the set's placeholder as a token, and its ids.
pub fn tokenizer(model: &ModelFolder) -> (PromptTokenizer, Vec<u32>) {
    let mut tokenizer = model.tokenizer().expect("the golden tokenizer opens");
    let meta = golden::json(match model.family() {
        ModelFamily::StableDiffusion => "tokenizer_clip",
        ModelFamily::LatentDiffusion => "tokenizer_bert",
    });
    let placeholder = meta["placeholder"].as_str().expect("a placeholder");
    let added = tokenizer.add_placeholder(placeholder, 1).expect("a new token");
    assert_eq!(u64::from(added[0]), meta["placeholder_id"].as_u64().expect("an id"));
    (tokenizer, added)
}

/// A golden model's text encoder, with the set's placeholder as a token.
pub fn prompt_encoder(model: &ModelFolder, device: &Device) -> PromptEncoder {
    let (tokenizer, added) = tokenizer(model);
    model.load_prompt_encoder(tokenizer, added, device).expect("the golden text encoder loads")
}

/// The GPU that `DVAR_DEVICE` names (`cuda:0`, `cuda:1`, ..., `vulkan`, `wgpu`) and its name. By
/// default the adapter that wgpu finds, a software one too.
pub fn gpu() -> (String, Device) {
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
        _ => panic!("this build has no GPU `{name}` ({kind} number {index})"),
    };
    (name, device)
}
