//! A very small Stable Diffusion XL, which `tests/fixtures/sdxl/make.py` describes: its weights are
//! made anew from their names.

use std::{collections::BTreeMap, fs, path::Path};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

/// Configurations, tensors' names and shapes, and what diffusers was asked.
pub fn description() -> Value {
    let file = fixtures().join("sdxl/model.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"))
}

/// Numbers in [-1, 1], by Marsaglia's xorshift from the name's FNV-1a hash.
pub fn numbers(name: &str, count: usize) -> Vec<f64> {
    let hash = |state: u32, byte: u8| (state ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let mut state = name.bytes().fold(0x811c_9dc5, hash) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state as i32) / 2_f64.powi(31)
    };
    (0..count).map(next).collect()
}

fn weight(name: &str, shape: &[usize]) -> Vec<u8> {
    let is_norm = name.contains("norm") && name.ends_with("weight");
    let fan_in: usize = shape[1..].iter().product();
    let values = numbers(name, shape.iter().product()).into_iter().map(|value| match shape.len() {
        1 => 0.2 * value + f64::from(u8::from(is_norm)),
        _ if name.contains("embedding.weight") => value,
        _ => value * (3.0 / fan_in as f64).sqrt(),
    });
    values.flat_map(|value| (value as f32).to_le_bytes()).collect()
}

/// Writes the folder as diffusers would.
pub fn write(folder: &Path) {
    let about = description();
    let put = |file: &str, bytes: &[u8]| {
        let file = folder.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    };
    for (file, json) in about["files"].as_object().unwrap() {
        put(file, json.to_string().as_bytes());
    }
    for (name, of) in about["tokenizers"].as_object().unwrap() {
        let from = fixtures().join("golden-more/models").join(of.as_str().unwrap());
        for entry in fs::read_dir(from.join("tokenizer")).unwrap() {
            let entry = entry.unwrap();
            let file = entry.file_name().into_string().unwrap();
            put(&format!("{name}/{file}"), &fs::read(entry.path()).unwrap());
        }
    }
    for (part, tensors) in about["tensors"].as_object().unwrap() {
        let tensors: BTreeMap<String, Vec<usize>> =
            serde_json::from_value(tensors.clone()).unwrap();
        let values = tensors.into_iter().map(|(name, shape)| {
            let bytes = weight(&format!("{part}.{name}"), &shape);
            (name, shape, bytes)
        });
        let values: Vec<_> = values.collect();
        let views = values.iter().map(|(name, shape, bytes)| {
            (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let file = if part.starts_with("text") { "model" } else { "diffusion_pytorch_model" };
        let bytes = safetensors::serialize(views, None).unwrap();
        put(&format!("{part}/{file}.safetensors"), &bytes);
    }
}
