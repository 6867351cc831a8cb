//! Parity vectors: reads the folders named by `DVAR_GOLDEN` (default `tests/fixtures/golden`) and by
//! `DVAR_GOLDEN_MORE` (default `tests/fixtures/golden-more`).
//!
//! Nothing here or in the tests knows a size: any set of the same format must pass.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

#[path = "../support/golden_sets.rs"]
mod golden_sets;

pub use golden_sets::{golden as root, golden_more as more};

/// A path in the set that has it, of the two.
pub fn find(path: &str) -> PathBuf {
    let own = root().join(path);
    if own.exists() { own } else { more().join(path) }
}

/// `golden/{name}.json`.
pub fn json(name: &str) -> Value {
    json_at(&find(&format!("golden/{name}.json")))
}

/// Any JSON file.
pub fn json_at(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A JSON number; NaN and the infinities are strings in the golden files.
pub fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => value.as_f64().unwrap_or_else(|| panic!("not a number: {value}")),
    }
}

/// A JSON list of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

/// One golden tensor: its values as f64 (exact for every dtype the sets hold) and its shape.
#[derive(Clone, Debug)]
pub struct Golden {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Golden {
    pub fn f32(&self) -> Vec<f32> {
        self.values.iter().map(|v| *v as f32).collect()
    }

    pub fn usize(&self) -> Vec<usize> {
        self.values.iter().map(|v| *v as usize).collect()
    }

    /// Item `index` along the first axis, without that axis.
    pub fn row(&self, index: usize) -> Self {
        let shape = self.shape[1..].to_vec();
        let size: usize = shape.iter().product();
        let values = self.values[index * size..(index + 1) * size].to_vec();
        Self { shape, values }
    }
}

/// All tensors of `golden/{name}.safetensors`.
pub struct Tensors {
    name: String,
    tensors: HashMap<String, Golden>,
}

impl Tensors {
    pub fn open(name: &str) -> Self {
        Self::at(&find(&format!("golden/{name}.safetensors")))
    }

    /// All tensors of any safetensors file.
    pub fn at(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let tensors = file
            .tensors()
            .into_iter()
            .map(|(key, view)| {
                let data = view.data();
                let values = match view.dtype() {
                    Dtype::F64 => {
                        data.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
                    }
                    Dtype::F32 => data
                        .chunks(4)
                        .map(|b| f32::from_le_bytes(b.try_into().unwrap()) as f64)
                        .collect(),
                    Dtype::I64 => data
                        .chunks(8)
                        .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64)
                        .collect(),
                    Dtype::U8 => data.iter().map(|b| *b as f64).collect(),
                    other => panic!("{key}: unexpected dtype {other:?}"),
                };
                (key, Golden { shape: view.shape().to_vec(), values })
            })
            .collect();
        Self { name: path.display().to_string(), tensors }
    }

    pub fn get(&self, key: &str) -> &Golden {
        self.find(key).unwrap_or_else(|| panic!("{}: no tensor {key}", self.name))
    }

    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    pub fn find(&self, key: &str) -> Option<&Golden> {
        self.tensors.get(key)
    }

    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }
}

/// Asserts `max|got - want| <= atol + rtol * max|want|` and prints the largest error.
pub fn assert_close(label: &str, got: &[f64], want: &[f64], atol: f64, rtol: f64) {
    assert_eq!(got.len(), want.len(), "{label}: number of values");
    let error = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, nan_max);
    let scale = want.iter().map(|v| v.abs()).fold(0.0, nan_max);
    let limit = atol + rtol * scale;
    println!("{label}: largest error {error:.3e} (limit {limit:.3e})");
    assert!(error <= limit, "{label}: largest error {error:.3e} over the limit {limit:.3e}");
}

/// Asserts `||got - want|| / ||want|| <= limit` and prints the ratio.
pub fn assert_relative(label: &str, got: &[f64], want: &[f64], limit: f64) {
    assert_eq!(got.len(), want.len(), "{label}: number of values");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let error =
        norm(&mut got.iter().zip(want).map(|(a, b)| a - b)) / norm(&mut want.iter().copied());
    println!("{label}: relative error {error:.3e} (limit {limit:.3e})");
    assert!(error <= limit, "{label}: relative error {error:.3e} over the limit {limit:.3e}");
}

/// `f64::max` that keeps a NaN, so that one never passes for a small error.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
