//! The shapes in which weights come: half precision, variants, shards, old layouts.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    io::{Error, Result as IoResult},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn::{
    store::ModuleSnapshot,
    tensor::{DType, Device},
};
use dvar_models::{
    ModelError,
    vae::{AutoencoderKl, AutoencoderKlConfig},
    weights::{FileSource, Folder, Memory, ModelSource, Pieces, load},
};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use tempfile::TempDir;

use crate::{
    golden::{Tensors, assert_close, root},
    support::{files, tensor, values},
};

/// A tensor's type, shape and bytes.
type Raw = (Dtype, Vec<usize>, Vec<u8>);

/// The golden autoencoder's tensors.
fn golden_tensors() -> BTreeMap<String, Raw> {
    let bytes =
        fs::read(root().join("models/tiny-sd/vae/diffusion_pytorch_model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let raw = |view: &TensorView| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
    file.tensors().into_iter().map(|(name, view)| (name, raw(&view))).collect()
}

/// Each value by `convert`, as tensors of `dtype`.
fn rounded(dtype: Dtype, convert: impl Fn(f32) -> [u8; 2]) -> BTreeMap<String, Raw> {
    let convert = |bytes: Vec<u8>| -> Vec<u8> {
        bytes.as_chunks().0.iter().flat_map(|word| convert(f32::from_le_bytes(*word))).collect()
    };
    let tensors = golden_tensors().into_iter();
    tensors.map(|(name, (_, shape, bytes))| (name, (dtype, shape, convert(bytes)))).collect()
}

fn write(path: &Path, tensors: &BTreeMap<String, Raw>) {
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(path, serialize(views, None).unwrap()).unwrap();
}

fn open(folder: &TempDir) -> Result<AutoencoderKl, ModelError> {
    let json = files("tiny-sd").read("vae/config.json").unwrap().into_owned();
    let config = AutoencoderKlConfig::parse(&json, "config.json").unwrap();
    let files = Folder(folder.path().to_path_buf());
    load(config.init(&Device::flex()), &files, ".", DType::F32)
}

/// The largest deviation from the golden picture stays under `tolerance`.
fn decodes(label: &str, vae: &AutoencoderKl, tolerance: f64) {
    let golden = Tensors::open("vae_sd");
    let latents = tensor::<4>(golden.get("r0.decode_input"), &Device::flex());
    let want = &golden.get("r0.decoded").values;
    assert_close(label, &values(vae.decode(latents)), want, tolerance, 0.0);
}

#[test]
fn half_precision_files_are_loaded_into_f32() {
    let folder = TempDir::new().unwrap();
    let tensors = rounded(Dtype::F16, |value| f16::from_f32(value).to_le_bytes());
    write(&folder.path().join("diffusion_pytorch_model.fp16.safetensors"), &tensors);
    decodes("fp16 variant", &open(&folder).unwrap(), 5e-3);

    // the full name wins over the variant, which would now be refused
    fs::write(folder.path().join("diffusion_pytorch_model.fp16.safetensors"), "broken").unwrap();
    let tensors = rounded(Dtype::BF16, |value| bf16::from_f32(value).to_le_bytes());
    write(&folder.path().join("diffusion_pytorch_model.safetensors"), &tensors);
    decodes("bf16", &open(&folder).unwrap(), 5e-2);
}

/// Splits the tensors over two files with an index.
fn write_shards(folder: &Path) {
    let (mut shards, mut weight_map) = ([BTreeMap::new(), BTreeMap::new()], BTreeMap::new());
    for (i, (name, raw)) in golden_tensors().into_iter().enumerate() {
        weight_map.insert(name.clone(), format!("part-{}.safetensors", i % 2));
        shards[i % 2].insert(name, raw);
    }
    for (i, shard) in shards.iter().enumerate() {
        write(&folder.join(format!("part-{i}.safetensors")), shard);
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map });
    let name = "diffusion_pytorch_model.safetensors.index.json";
    fs::write(folder.join(name), index.to_string()).unwrap();
}

#[test]
fn shards_are_put_together_and_a_lost_one_is_an_error() {
    let folder = TempDir::new().unwrap();
    write_shards(folder.path());
    decodes("shards", &open(&folder).unwrap(), 5e-5);
    fs::remove_file(folder.path().join("part-1.safetensors")).unwrap();
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains("part-1.safetensors"), "{error}");
    // opening a pipe would have no end
    if cfg!(unix) {
        let pipe = folder.path().join("part-1.safetensors");
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        let error = open(&folder).unwrap_err().to_string();
        assert!(error.contains("part-1.safetensors`: it is no file"), "{error}");
    }
}

#[test]
fn an_index_that_points_out_of_its_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let index = r#"{ "weight_map": { "a": "../secret.safetensors" } }"#;
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains("`weight_map` must name files beside it"), "{error}");
}

#[test]
fn attention_saved_as_convolutions_is_loaded_into_linear_layers() {
    let folder = TempDir::new().unwrap();
    let mut tensors = golden_tensors();
    for (name, (_, shape, _)) in &mut tensors {
        if name.contains(".attentions.0.to_") {
            shape.extend([1, 1]);
        }
    }
    write(&folder.path().join("diffusion_pytorch_model.safetensors"), &tensors);
    decodes("1 x 1 convolutions", &open(&folder).unwrap(), 5e-5);
}

#[test]
fn missing_and_unexpected_tensors_are_named() {
    let folder = TempDir::new().unwrap();
    let mut tensors = golden_tensors();
    tensors.remove("decoder.conv_norm_out.weight").unwrap();
    tensors.insert("decoder.extra.weight".into(), (Dtype::F32, vec![1], vec![0; 4]));
    write(&folder.path().join("diffusion_pytorch_model.safetensors"), &tensors);
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains("`decoder.conv_norm_out.weight` is missing"), "{error}");
    assert!(error.contains("`decoder.extra.weight` was not expected"), "{error}");
}

#[test]
fn a_matrix_without_values_is_refused_however_many_rows_it_claims() {
    let folder = TempDir::new().unwrap();
    let mut tensors = golden_tensors();
    let name = "encoder.mid_block.attentions.0.to_q.weight";
    let endless = (Dtype::F32, vec![usize::MAX, 0], Vec::new());
    tensors.insert(name.into(), endless).expect("a weight of the autoencoder");
    write(&folder.path().join("diffusion_pytorch_model.safetensors"), &tensors);
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains(&format!("`{name}` is 0, not ")), "{error}");
}

/// One file that counts the largest part of it that was in someone's hands.
#[derive(Debug)]
struct Counting {
    bytes: Vec<u8>,
    /// What arrives of it, for the last test.
    arrives: usize,
    largest: AtomicUsize,
}

const ONLY: &str = "vae/diffusion_pytorch_model.safetensors";

impl FileSource for Counting {
    fn size(&self, file: &str) -> Option<u64> {
        (file == ONLY).then_some(self.bytes.len() as u64)
    }

    fn read(&self, _: &str, offset: u64, length: usize) -> IoResult<Vec<u8>> {
        self.largest.fetch_max(length, Ordering::Relaxed);
        let from = offset as usize;
        let there = self.bytes[..self.arrives].get(from..from + length);
        there.map(<[u8]>::to_vec).ok_or_else(|| Error::other("the connection broke"))
    }
}

fn parameters(vae: &AutoencoderKl) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let parts = vae.collect(None, None, true).into_iter().map(|tensor| {
        let (name, _, shape, _, bytes) = tensor.into_parts().unwrap();
        (name, (shape.to_vec(), bytes.to_vec()))
    });
    parts.collect()
}

fn counting(arrives: impl Fn(usize) -> usize) -> Arc<Counting> {
    let bytes = files("tiny-sd").read(ONLY).unwrap().into_owned();
    let arrives = arrives(bytes.len());
    Arc::new(Counting { bytes, arrives, largest: AtomicUsize::default() })
}

fn open_vae(files: &dyn ModelSource) -> Result<AutoencoderKl, ModelError> {
    let json = crate::support::files("tiny-sd").read("vae/config.json").unwrap().into_owned();
    let config = AutoencoderKlConfig::parse(&json, "config.json").unwrap();
    load(config.init(&Device::flex()), files, "vae", DType::F32)
}

#[test]
fn a_source_is_read_tensor_by_tensor_and_gives_the_same_network() {
    let source = counting(|length| length);
    let streamed = open_vae(&Pieces(source.clone())).unwrap();
    let whole: Cow<'static, [u8]> = source.bytes.clone().into();
    let memory = Memory(BTreeMap::from([(ONLY.to_string(), whole)]));
    assert_eq!(parameters(&streamed), parameters(&open_vae(&memory).unwrap()));

    let tensors = golden_tensors();
    let largest = tensors.values().map(|(_, _, bytes)| bytes.len()).max().unwrap();
    let header = u64::from_le_bytes(source.bytes[..8].try_into().unwrap()) as usize;
    let read = source.largest.load(Ordering::Relaxed);
    println!("largest read {read} of {} bytes, largest tensor {largest}", source.bytes.len());
    assert_eq!(read, largest.max(header));
}

#[test]
fn a_source_that_breaks_off_is_an_error_that_names_the_file() {
    for arrives in [0, 4, 1000] {
        let source = counting(|length| length - 1 - arrives);
        let error = open_vae(&Pieces(source)).unwrap_err().to_string();
        assert!(error.contains(ONLY) && error.contains("the connection broke"), "{error}");
    }
}
