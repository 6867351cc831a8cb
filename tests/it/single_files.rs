//! Whole models in one file: the same weights, and the same runs, as from their folders.

mod told;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use burn::{
    store::ModuleSnapshot,
    tensor::{DType, Device, Tensor, TensorData},
};
use dvar::{
    concept::Method,
    config::MixedPrecision,
    pipelines::{ModelFolder, TimeIds},
};
use dvar_models::{
    ModelError,
    single_file::SingleFile,
    weights::{FileSource, Folder, Memory, ModelSource, Pieces, Weights},
};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use crate::{
    determinism::{bytes, options, prepared_on, states},
    golden,
};

fn description() -> Value {
    golden::json_at(&golden::more().join("golden/single_files.json"))
}

/// The set's files of models, and the folders that hold the same.
fn twins() -> Vec<(String, String)> {
    let description = description();
    let files = description["files"].as_object().unwrap().iter();
    let twins = files.filter_map(|(file, about)| {
        let kinds = ["sd1", "sd2", "sdxl"];
        let known = about["kind"].as_str().is_some_and(|kind| kinds.contains(&kind));
        // that of SDXL is larger than what the repository holds
        let known = known && golden::more().join("files/single").join(file).exists();
        // such as `tiny-sd1 rounded to f16`
        let folder = about["model"].as_str()?.split(' ').next()?;
        known.then(|| (file.clone(), folder.to_string()))
    });
    let twins: Vec<_> = twins.collect();
    assert!(twins.len() >= 3, "{twins:?}");
    twins
}

fn folder(name: &str) -> Folder {
    Folder(golden::more().join("models").join(name))
}

fn single(file: &str) -> Result<SingleFile, ModelError> {
    SingleFile::open(&Folder(golden::more().join("files/single")), file)
}

/// A file of these bytes.
fn of_bytes(bytes: Vec<u8>) -> SingleFile {
    const FILE: &str = "model.safetensors";
    let memory = Memory(BTreeMap::from([(FILE.to_string(), Cow::Owned(bytes))]));
    SingleFile::open(&memory, FILE).unwrap()
}

/// All files of a folder, its weights left out: the tiny models are not of the published sizes.
fn files_of(folder: &Path) -> Memory {
    let mut files = BTreeMap::new();
    let mut add = |path: &Path, name: String| {
        if !name.ends_with(".safetensors") {
            files.insert(name, Cow::Owned(fs::read(path).unwrap()));
        }
    };
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap().to_string();
        if entry.is_file() {
            add(&entry, name);
        } else {
            for file in fs::read_dir(&entry).unwrap().map(|file| file.unwrap().path()) {
                add(&file, format!("{name}/{}", file.file_name().unwrap().to_str().unwrap()));
            }
        }
    }
    Memory(files)
}

fn twin(file: &str, of: &str) -> SingleFile {
    single(file).unwrap().with_files(files_of(&folder(of).0))
}

fn open(source: impl ModelSource + 'static) -> ModelFolder {
    ModelFolder::new(source, "model".into()).unwrap()
}

/// Every weight of a network, by name.
fn weights(network: &impl ModuleSnapshot) -> BTreeMap<String, Vec<f32>> {
    let tensors = network.collect(None, None, true).into_iter().map(|tensor| {
        let (name, dtype, _, _, bytes) = tensor.into_parts().unwrap();
        assert_eq!(dtype, DType::F32, "{name}");
        let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        (name, values.collect())
    });
    tensors.collect()
}

/// Every weight of a model; those of the text encoders by what they make of their own vocabulary.
fn all_weights(model: &ModelFolder) -> [BTreeMap<String, Vec<f32>>; 3] {
    let device = Device::flex();
    let encoder = model.load_prompt_encoder(model.tokenizers().unwrap(), &device).unwrap();
    let prompts = ["a photo of a cat", "two dogs"].map(|text| encoder.tokenizers().encode(text));
    let widths = model.embedding_widths().0.into_iter();
    let none: Vec<_> = widths.map(|(_, width)| Tensor::zeros([1, width], &device)).collect();
    let sizes = [TimeIds::whole(64, 64); 2];
    let told = encoder.encode(&encoder.prepare(&prompts), &none, &sizes);
    let values = |tensor: TensorData| tensor.iter::<f32>().collect::<Vec<_>>();
    let mut text = BTreeMap::from([("states".into(), values(told.hidden_states.into_data()))]);
    if let Some(added) = told.added {
        text.insert("pooled".into(), values(added.text_embeds.into_data()));
    }
    for (index, table) in encoder.token_tables().into_iter().enumerate() {
        text.insert(format!("table {index}"), values(table.into_data()));
    }
    [weights(&model.load_unet(&device).unwrap()), weights(&model.load_vae(&device).unwrap()), text]
}

#[test]
fn a_single_file_has_the_weights_of_its_folder() {
    for (file, name) in twins() {
        let (got, want) =
            (all_weights(&open(twin(&file, &name))), all_weights(&open(folder(&name))));
        let rounds = description()["files"][&file]["dtype"].clone();
        for (part, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
            for (name, want) in want {
                // states are computed, not stored
                let stored = part < 2 || name.starts_with("table");
                let want: Vec<f32> = match rounds.as_str().filter(|_| stored) {
                    Some("f16") => want.iter().map(|v| f16::from_f32(*v).to_f32()).collect(),
                    Some("bf16") => want.iter().map(|v| bf16::from_f32(*v).to_f32()).collect(),
                    Some(_) => want.clone(),
                    None if rounds == "f32" => want.clone(),
                    None => continue,
                };
                assert_eq!(got[name], want, "{file}, {name}");
            }
        }
    }
}

#[test]
fn a_file_of_stable_diffusion_2_may_lack_the_layer_that_is_not_used() {
    // as diffusers' `convert_diffusers_to_original_stable_diffusion.py` leaves it
    let bytes = fs::read(golden::more().join("files/single/sd2.safetensors")).unwrap();
    let whole = SafeTensors::deserialize(&bytes).unwrap();
    let layer = |name: &str| -> Option<usize> {
        let rest = name.strip_prefix("cond_stage_model.model.transformer.resblocks.")?;
        rest.split('.').next()?.parse().ok()
    };
    let last = whole.names().into_iter().filter_map(layer).max();
    let kept: Vec<_> =
        whole.tensors().into_iter().filter(|(name, _)| layer(name) != last).collect();
    assert!(last.is_some() && kept.len() < whole.names().len());
    let single = of_bytes(safetensors::serialize(kept, None).unwrap());
    let single = single.with_files(files_of(&folder("tiny-sd2").0));
    assert_eq!(all_weights(&open(single))[2], all_weights(&open(folder("tiny-sd2")))[2]);
}

#[test]
fn an_autoencoders_attention_may_have_diffusers_names_in_a_single_file() {
    let bytes = fs::read(golden::more().join("files/single/sd1.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let open_with = |names: [&str; 4]| {
        let tensors = file.tensors().into_iter().map(|(name, view)| {
            let Some((half, rest)) = name.split_once(".mid.attn_1.") else { return (name, view) };
            let (part, kind) = rest.split_once('.').unwrap();
            let of = ["q", "k", "v", "proj_out"].iter().position(|known| *known == part);
            let Some(of) = of else { return (name, view) };
            // linear layers, which the converter did not make convolutions of
            let shape = view.shape().iter().copied().take(2).collect();
            let view = TensorView::new(view.dtype(), shape, view.data()).unwrap();
            (format!("{half}.mid.attn_1.{}.{kind}", names[of]), view)
        });
        let single = of_bytes(safetensors::serialize(tensors, None).unwrap());
        let model = open(single.with_files(files_of(&folder("tiny-sd1").0)));
        weights(&model.load_vae(&Device::flex()).unwrap())
    };
    let want = weights(&open(folder("tiny-sd1")).load_vae(&Device::flex()).unwrap());
    assert_eq!(open_with(["to_q", "to_k", "to_v", "to_out.0"]), want);
    assert_eq!(open_with(["query", "key", "value", "proj_attn"]), want);
}

#[test]
fn what_an_autoencoders_own_training_left_in_a_single_file_is_not_read() {
    let bytes = fs::read(golden::more().join("files/single/sd1.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    // as with a published autoencoder that was put into a model with all that its file has
    let left = ["loss.logvar", "model_ema.decay", "model_ema.num_updates"].map(|name| {
        let view = TensorView::new(Dtype::F32, Vec::new(), &[0; 4]).unwrap();
        (format!("first_stage_model.{name}"), view)
    });
    let tensors = file.tensors().into_iter().chain(left);
    let single = of_bytes(safetensors::serialize(tensors, None).unwrap());
    let model = open(single.with_files(files_of(&folder("tiny-sd1").0)));
    let vae = |model: &ModelFolder| weights(&model.load_vae(&Device::flex()).unwrap());
    assert_eq!(vae(&model), vae(&open(folder("tiny-sd1"))));
}

/// By the set's list: the file itself is larger than what the repository holds.
#[test]
fn every_tensor_of_a_single_file_of_sdxl_gets_its_name_in_diffusers() {
    let list = golden::json_at(&golden::more().join("golden/single_file_keys.json"));
    let rows: Vec<[String; 4]> = serde_json::from_value(list["keys"]["sdxl"].clone()).unwrap();
    let bytes = [0_u8; 3 * 4 * size_of::<f32>()];
    let view = || TensorView::new(Dtype::F32, vec![3, 4], &bytes).unwrap();
    let names: BTreeSet<&String> = rows.iter().map(|row| &row[0]).collect();
    let file = safetensors::serialize(names.into_iter().map(|name| (name, view())), None).unwrap();
    let single = of_bytes(file);
    for part in ["unet", "vae", "text_encoder", "text_encoder_2"] {
        let want = rows.iter().filter(|row| row[1] == part).map(|[_, _, name, change]| {
            let shape = match change.as_str() {
                "transposed" => vec![4, 3],
                thirds if thirds.starts_with("rows ") => vec![1, 4],
                _ => vec![3, 4],
            };
            (name.clone(), shape)
        });
        let want: BTreeMap<String, Vec<usize>> = want.collect();
        assert!(!want.is_empty(), "{part}");
        let Weights::Stored(tensors) = single.weights(part).unwrap() else { panic!("{part}") };
        assert_eq!(tensors.shapes(), want, "{part}");
    }
}

#[test]
fn a_run_on_a_single_file_ends_in_the_bytes_of_one_on_its_folder() {
    for (file, name) in twins() {
        if description()["files"][&file]["dtype"] != "f32" {
            continue;
        }
        let run = |model| {
            let options = options(MixedPrecision::No, (Method::DreamboothLora, "adamw"), 2, 1);
            bytes(&states(&prepared_on(model, options), None, 1))
        };
        assert_eq!(run(open(twin(&file, &name))), run(open(folder(&name))), "{file}");
    }
}

#[test]
fn averaged_weights_are_read_where_they_are_asked_for_and_there() {
    let with_ema: Vec<_> = twins()
        .into_iter()
        .filter(|(file, _)| description()["files"][file]["ema_keys"].is_number())
        .collect();
    assert!(!with_ema.is_empty());
    for (file, name) in twins() {
        let averaged = single(&file).unwrap().with_ema();
        if !with_ema.iter().any(|(with, _)| *with == file) {
            let error = averaged.unwrap_err().to_string();
            assert!(error.contains("no averaged weights"), "{error}");
            continue;
        }
        let averaged = averaged.unwrap().with_files(files_of(&folder(&name).0));
        let (averaged, last) =
            (all_weights(&open(averaged)), all_weights(&open(twin(&file, &name))));
        let same = last[0].iter().filter(|(name, values)| averaged[0][*name] == **values);
        assert_eq!(same.count(), 0, "{file}: averaged weights are the last ones");
        assert_eq!((&averaged[1], &averaged[2]), (&last[1], &last[2]), "only the denoiser's");
    }
}

/// A file in memory, and the place and length of each read of it.
#[derive(Debug, Default)]
struct Recorded {
    bytes: Vec<u8>,
    reads: Mutex<Vec<(u64, usize)>>,
}

impl FileSource for Recorded {
    fn size(&self, file: &str) -> Option<u64> {
        // no configuration lies beside it
        (!file.ends_with(".yaml")).then_some(self.bytes.len() as u64)
    }

    fn read(&self, _: &str, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
        self.reads.lock().unwrap().push((offset, length));
        Ok(self.bytes[offset as usize..][..length].to_vec())
    }
}

#[test]
fn a_model_reads_no_value_of_its_file_twice_and_none_that_it_does_not_need() {
    for (file, name) in twins() {
        let bytes = fs::read(golden::more().join("files/single").join(&file)).unwrap();
        let length = bytes.len();
        let recorded = Arc::new(Recorded { bytes, ..Recorded::default() });
        let single = SingleFile::open(&Pieces(recorded.clone()), &file).unwrap();
        recorded.reads.lock().unwrap().clear();
        all_weights(&open(single.with_files(files_of(&folder(&name).0))));

        let mut reads = recorded.reads.lock().unwrap().clone();
        reads.sort_unstable();
        for pair in reads.windows(2) {
            let [(start, length), (next, _)] = [pair[0], pair[1]];
            assert!(start + length as u64 <= next, "{file}: {pair:?}");
        }
        let read: usize = reads.iter().map(|(_, length)| length).sum();
        println!("{file}: {read} of {length} bytes in {} reads", reads.len());
        // such as the optimiser's state and averaged weights
        if description()["files"][&file]["ema_keys"].is_number() {
            assert!(2 * read < length, "{file}: {read} of {length} bytes were read");
        }
    }
}
