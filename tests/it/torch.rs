//! Weights in PyTorch's own files: good ones from PyTorch itself, and whatever else may come.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, Cursor},
    path::{Path, PathBuf},
};

use burn::{
    store::ModuleSnapshot,
    tensor::{DType, Device},
};
use dvar_models::{
    ModelError,
    vae::{AutoencoderKl, AutoencoderKlConfig},
    weights::{
        Folder, Memory, ModelSource, load,
        torch::{TorchError, TorchFile},
    },
};
use proptest::prelude::*;
use safetensors::SafeTensors;
use tempfile::TempDir;

use crate::golden::root;

/// A tensor's type, shape and bytes.
type Raw = (String, Vec<usize>, Vec<u8>);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch").join(name)
}

fn read(bytes: &[u8]) -> Result<BTreeMap<String, Raw>, TorchError> {
    let mut reader = Cursor::new(bytes);
    let tensors = TorchFile::open(&mut reader)?.state_dict()?;
    let raw = tensors.into_iter().map(|(name, tensor)| {
        let bytes = tensor.read(&mut reader)?;
        assert_eq!(bytes.len(), tensor.byte_len());
        Ok((name, (format!("{:?}", tensor.dtype()), tensor.shape().to_vec(), bytes)))
    });
    raw.collect()
}

fn read_safetensors(path: &Path) -> BTreeMap<String, Raw> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let name = |dtype| match dtype {
        safetensors::Dtype::BOOL => "Bool(Native)".to_string(),
        other => format!("{other:?}"),
    };
    let raw = file.tensors().into_iter().map(|(key, view)| {
        (key, (name(view.dtype()), view.shape().to_vec(), view.data().to_vec()))
    });
    raw.collect()
}

fn assert_same(label: &str, got: &BTreeMap<String, Raw>, want: &BTreeMap<String, Raw>) {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{label}");
    for (name, want) in want {
        assert_eq!(&got[name], want, "{label}: {name}");
    }
    println!("{label}: all of {} tensors are equal", want.len());
}

#[test]
fn every_container_number_type_and_view_is_read_exactly() {
    let want = read_safetensors(&fixture("weights.safetensors"));
    for name in ["", "_legacy", "_protocol_4", "_unchecked", "_cuda", "_cuda_legacy"] {
        let file = format!("weights{name}.bin");
        assert_same(&file, &read(&fs::read(fixture(&file)).unwrap()).unwrap(), &want);
    }
}

/// The only file in a folder with this ending.
fn weights_in(folder: &Path, ending: &str) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files = files.filter(|path| path.extension().is_some_and(|found| found == ending));
    files.next().unwrap_or_else(|| panic!("no .{ending} in {}", folder.display()))
}

#[test]
fn the_golden_models_pickled_twins_hold_the_same_tensors() {
    for folder in fs::read_dir(root().join("models/tiny-ldm-bin")).unwrap() {
        let folder = folder.unwrap();
        let twin = root().join("models/tiny-ldm").join(folder.file_name());
        let got = read(&fs::read(weights_in(&folder.path(), "bin")).unwrap()).unwrap();
        let label = folder.file_name().to_string_lossy().into_owned();
        assert_same(&label, &got, &read_safetensors(&weights_in(&twin, "safetensors")));
    }
}

fn pickled_vae() -> PathBuf {
    root().join("models/tiny-ldm-bin/vqvae")
}

/// Loads the autoencoder whose configuration is the golden pickled one's.
fn open(files: &dyn ModelSource, folder: &str) -> Result<AutoencoderKl, ModelError> {
    let json = fs::read(pickled_vae().join("config.json")).unwrap();
    let config = AutoencoderKlConfig::parse(&json, "config.json").unwrap();
    load(config.init(&Device::flex()), files, folder, DType::F32)
}

fn parameters(vae: &AutoencoderKl) -> BTreeMap<String, Raw> {
    let tensors = vae.collect(None, None, true).into_iter();
    let raw = tensors.map(|tensor| {
        let (name, dtype, shape, _, bytes) = tensor.into_parts().unwrap();
        (name, (format!("{dtype:?}"), shape.to_vec(), bytes.to_vec()))
    });
    raw.collect()
}

#[test]
fn a_network_from_a_pickle_has_the_parameters_of_its_safetensors_twin() {
    let models = Folder(root().join("models"));
    let want = parameters(&open(&models, "tiny-ldm/vqvae").unwrap());
    let pickled = open(&models, "tiny-ldm-bin/vqvae").unwrap();
    assert_same("from disk", &parameters(&pickled), &want);

    let bytes = fs::read(weights_in(&pickled_vae(), "bin")).unwrap();
    let name = "vae/diffusion_pytorch_model.bin".to_string();
    let memory = Memory(BTreeMap::from([(name, bytes.into())]));
    assert_same("from memory", &parameters(&open(&memory, "vae").unwrap()), &want);
}

#[test]
fn pickles_are_found_under_the_names_of_diffusers_and_transformers() {
    let from = weights_in(&pickled_vae(), "bin");
    let want = parameters(&open(&Folder(pickled_vae()), ".").unwrap());
    for name in [
        "diffusion_pytorch_model.bin",
        "pytorch_model.bin",
        "diffusion_pytorch_model.fp16.bin",
        "pytorch_model.non_ema.bin",
    ] {
        let folder = TempDir::new().unwrap();
        let files = Folder(folder.path().to_path_buf());
        fs::copy(&from, folder.path().join(name)).unwrap();
        assert_same(name, &parameters(&open(&files, ".").unwrap()), &want);
    }
    let folder = TempDir::new().unwrap();
    let files = Folder(folder.path().to_path_buf());
    fs::copy(&from, folder.path().join("pytorch_model-00001-of-00001.bin")).unwrap();
    let index = r#"{ "weight_map": { "a": "pytorch_model-00001-of-00001.bin" } }"#;
    fs::write(folder.path().join("pytorch_model.bin.index.json"), index).unwrap();
    assert_same("shards", &parameters(&open(&files, ".").unwrap()), &want);
    // safetensors win
    fs::write(folder.path().join("model.safetensors"), "broken").unwrap();
    let error = open(&files, ".").unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
}

#[test]
fn a_changed_value_is_found_by_its_checksum() {
    let mut bytes = fs::read(weights_in(&pickled_vae(), "bin")).unwrap();
    // More than the headers between two storages.
    let middle = bytes.len() / 2;
    bytes[middle..middle + 256].iter_mut().for_each(|byte| *byte ^= 1);
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("pytorch_model.bin"), bytes).unwrap();
    let error = open(&Folder(folder.path().to_path_buf()), ".").unwrap_err();
    let error = error.to_string();
    assert!(error.contains("pytorch_model.bin` is not usable: its zip archive is"), "{error}");
}

#[test]
fn files_that_pytorch_would_not_write_are_refused_each_for_its_reason() {
    for (name, reason) in [
        ("foreign_global", "the Python object `posix.system`"),
        ("checkpoint", "`pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint`"),
        ("nested", "its entry `state_dict` is no tensor"),
        ("list", "holds no dictionary"),
        ("offset", "its tensor `a` is damaged or cut off (a tensor reaches out of its storage)"),
        ("stride", "reaches out of its storage"),
        ("huge_stride", "reaches out of its storage"),
        ("negative_stride", "a tensor of another form"),
        ("repeated", "far larger than the file"),
        ("overflow", "far larger than the file"),
        ("rank", "a tensor of another form"),
        ("big_endian", "big-endian"),
        ("short_storage", "reaches out of its storage"),
        ("no_storage", "a storage is missing"),
        ("climbing_key", "a storage's key is not plain"),
        ("zip_bomb", "compressed"),
        ("memo_bomb", "holds no dictionary"),
    ] {
        let error = read(&fs::read(fixture(&format!("bad_{name}.bin"))).unwrap()).unwrap_err();
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
}

#[test]
fn an_old_file_with_big_endian_numbers_is_refused() {
    let mut bytes = fs::read(fixture("weights_legacy.bin")).unwrap();
    let key = b"little_endian";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
    let value = at + bytes[at..].iter().position(|byte| *byte == 0x88).unwrap();
    bytes[value] = 0x89;
    assert!(matches!(read(&bytes), Err(TorchError::BigEndian)));
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    for name in ["weights.bin", "weights_legacy.bin"] {
        let bytes = fs::read(fixture(name)).unwrap();
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{name} cut to {length} bytes");
        }
    }
    let reader = File::open(fixture("weights.safetensors")).unwrap();
    let error = TorchFile::open(&mut BufReader::new(reader)).unwrap_err();
    assert!(matches!(error, TorchError::Container), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_damaged_file_never_panics(
        legacy in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        // Without checksums, which would hide the pickle from the changes.
        let name = if legacy { "weights_legacy.bin" } else { "weights_unchecked.bin" };
        let mut bytes = fs::read(fixture(name)).unwrap();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        // What can still be read is as long as it says; `read` checks that.
        let _ = read(&bytes);
    }
}
