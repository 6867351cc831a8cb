//! Weight files to modules, by burn-store.

use burn::{
    store::{
        ApplyError, ApplyResult, ChainAdapter, FloatCastAdapter, ModuleAdapter, ModuleContext,
        ModuleSnapshot, PyTorchToBurnAdapter,
    },
    tensor::{DType, Shape},
};
use burn_pack::Tensor as PackTensor;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufReader, Cursor, Read, Seek},
    sync::{Arc, Mutex, PoisonError},
};

use super::{ModelFiles, key_map, pickled, random, safetensors, source::SourceReader};
use crate::{ModelError, precision::is_low};

/// Why values could not be read: burn-store's own errors do not say where.
pub(super) type Failure = Arc<Mutex<Option<String>>>;

/// File names that diffusers and transformers give weights, and their endings. Of two files with
/// the same weights, safetensors is preferred.
const NAMES: [(&str, &str); 4] = [
    ("diffusion_pytorch_model", "safetensors"),
    ("model", "safetensors"),
    ("diffusion_pytorch_model", "bin"),
    ("pytorch_model", "bin"),
];
/// Full weights are preferred to rounded ones, and those to the ones before averaging.
const VARIANTS: [&str; 3] = ["", ".fp16", ".non_ema"];

/// Loads `{folder}/*.safetensors` or `*.bin` (f64, f32, f16 or bf16; one file, an fp16 variant, or
/// shards with an index) into a freshly built module, converted to `dtype`; with f16 and bf16, the
/// weights of norms and the tables of embeddings become f32.
///
/// # Errors
///
/// [`ModelError`] if a file is missing or broken, if a `.bin` asks for more than tensors, or if the
/// tensors are not exactly those the module has, each of its shape.
pub fn load<M: ModuleSnapshot>(
    module: M,
    files: &ModelFiles,
    folder: &str,
    dtype: DType,
) -> Result<M, ModelError> {
    if let ModelFiles::Random(_) = files {
        return Ok(random::fill(module, dtype));
    }
    let config = files.display(&format!("{folder}/config.json"));
    load_files(module, files, &find(files, folder)?, &config, dtype)
}

/// Loads weight files, which together hold the module's tensors, converted to `dtype`; `config`
/// is what they should fit, for messages.
///
/// # Errors
///
/// Those of [`load`].
pub fn load_files<M: ModuleSnapshot>(
    mut module: M,
    files: &ModelFiles,
    parts: &[String],
    config: &str,
    dtype: DType,
) -> Result<M, ModelError> {
    let mut loaded = Loaded::default();
    for part in parts {
        loaded.add(apply(&mut module, files, part, dtype)?);
    }
    match loaded.problems() {
        None => Ok(module),
        Some(problems) => {
            let file = parts.first().map(|part| files.display(part)).unwrap_or_default();
            Err(ModelError::Weights { file, config: config.into(), problems })
        }
    }
}

/// The shapes of a weight file's tensors, by name; the values are not read.
///
/// # Errors
///
/// [`ModelError`] if the file is missing or broken.
pub fn shapes(files: &ModelFiles, file: &str) -> Result<BTreeMap<String, Vec<usize>>, ModelError> {
    let tensors = tensors(files, file, &Failure::default())?.into_iter();
    Ok(tensors.map(|tensor| (tensor.name, tensor.shape.to_vec())).collect())
}

/// The tensors of a weight file, whose values are read when each is asked for; the last failure to
/// do so is left in `failure`.
pub(super) fn tensors(
    files: &ModelFiles,
    part: &str,
    failure: &Failure,
) -> Result<Vec<PackTensor>, ModelError> {
    match files {
        ModelFiles::Folder(folder) => {
            let reader = File::open(folder.join(part)).map_err(|error| ModelError::Unreadable {
                file: files.display(part),
                reason: error.to_string(),
            })?;
            lazy(reader, files, part, failure)
        }
        ModelFiles::Memory(all) | ModelFiles::Random(all) => match all.get(part) {
            Some(bytes) => lazy(Cursor::new(bytes.clone()), files, part, failure),
            None => Err(files.missing(part)),
        },
        ModelFiles::Source(source) => match SourceReader::new(source, part) {
            Some(reader) => lazy(reader, files, part, failure),
            None => Err(files.missing(part)),
        },
    }
}

fn lazy<R: Read + Seek + Send + 'static>(
    reader: R,
    files: &ModelFiles,
    part: &str,
    failure: &Failure,
) -> Result<Vec<PackTensor>, ModelError> {
    let tensors = if is_pickled(part) {
        pickled::tensors(BufReader::new(reader), failure).map_err(|e| e.to_string())
    } else {
        safetensors::tensors(reader, failure)
    };
    tensors.map_err(|reason| ModelError::Invalid { file: files.display(part), reason })
}

/// The files that hold the weights of `folder`.
pub(super) fn find(files: &ModelFiles, folder: &str) -> Result<Vec<String>, ModelError> {
    match locate(folder, |file| files.has(file)) {
        Some(index) if index.ends_with(".json") => {
            let bytes = files.read(&index)?;
            shards(&bytes, folder, &files.display(&index))
        }
        Some(single) => Ok(vec![single]),
        None => Err(ModelError::MissingFile {
            file: files.display(&format!("{folder}/{}.{}", NAMES[0].0, NAMES[0].1)),
            remedy: format!("`{folder}` must hold its weights as safetensors or `.bin`"),
        }),
    }
}

/// The weight file of `folder`, or the index of its shards, among the files that there are.
pub(super) fn locate(folder: &str, has: impl Fn(&str) -> bool) -> Option<String> {
    VARIANTS
        .iter()
        .flat_map(|variant| NAMES.iter().map(move |(stem, ending)| (stem, ending, variant)))
        .flat_map(|(stem, ending, variant)| {
            let single = format!("{folder}/{stem}{variant}.{ending}");
            [single, format!("{folder}/{stem}.{ending}.index{variant}.json")]
        })
        .find(|file| has(file))
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// The shards that an index names; `file` is the index' name in errors.
pub(super) fn shards(index: &[u8], folder: &str, file: &str) -> Result<Vec<String>, ModelError> {
    let parsed: ShardIndex = crate::config_checks::parse(index, file)?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() || names.iter().any(|name| name.contains(['/', '\\'])) {
        return Err(ModelError::Invalid {
            file: file.into(),
            reason: "its `weight_map` must name files beside it".into(),
        });
    }
    Ok(names.into_iter().map(|name| format!("{folder}/{name}")).collect())
}

fn apply<M: ModuleSnapshot>(
    module: &mut M,
    files: &ModelFiles,
    part: &str,
    dtype: DType,
) -> Result<ApplyResult, ModelError> {
    let file = files.display(part);
    let invalid = |reason: String| ModelError::Invalid { file: file.clone(), reason };
    let failure = Failure::default();
    let tensors = tensors(files, part, &failure)?;
    let (tensors, _) = key_map::remapper().map_err(invalid)?.remap(tensors);
    let to_burn = ChainAdapter::new(PyTorchToBurnAdapter, Precision(dtype));
    let adapter = Box::new(ChainAdapter::new(SqueezeLinear, to_burn));
    let applied = module.apply(tensors, None, Some(adapter), true);
    match failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(reason) => Err(invalid(reason)),
        None => Ok(applied),
    }
}

fn is_pickled(part: &str) -> bool {
    part.ends_with(".bin") || part.ends_with(".pth")
}

/// Weights of low types but where their few bytes count: norms, and what is looked up.
#[derive(Clone)]
pub(super) struct Precision(pub DType);

impl Precision {
    /// The type of the weights of a layer, which burn-store calls `kind`.
    pub(super) fn of(&self, kind: Option<&str>) -> DType {
        const FULL: [&str; 3] = ["Struct:Embedding", "Struct:GroupNorm", "Struct:LayerNorm"];
        let full = is_low(self.0) && kind.is_some_and(|kind| FULL.contains(&kind));
        if full { DType::F32 } else { self.0 }
    }
}

impl ModuleAdapter for Precision {
    fn adapt(&self, tensor: PackTensor, context: ModuleContext<'_>) -> PackTensor {
        FloatCastAdapter::to(self.of(context.module_type())).adapt(tensor, context)
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

/// Old autoencoders saved the linear layers of their attention as 1x1 convolutions.
#[derive(Clone)]
struct SqueezeLinear;

impl ModuleAdapter for SqueezeLinear {
    fn adapt(&self, mut tensor: PackTensor, context: ModuleContext<'_>) -> PackTensor {
        if context.module_type() == Some("Struct:Linear")
            && let [out, into, 1, 1] = tensor.shape[..]
        {
            tensor.shape = [out, into].into();
        }
        tensor
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

/// What came of all parts together.
#[derive(Default)]
struct Loaded {
    applied: BTreeSet<String>,
    missing: BTreeSet<String>,
    problems: Vec<String>,
}

impl Loaded {
    fn add(&mut self, part: ApplyResult) {
        self.applied.extend(part.applied);
        self.missing.extend(part.missing.into_iter().map(|(name, _)| name));
        self.problems.extend(part.errors.into_iter().map(describe));
        let unused = part.unused.into_iter().filter(|name| !key_map::is_buffer(name));
        self.problems
            .extend(unused.map(|name| format!("`{}` was not expected", key_map::original(&name))));
    }

    /// One line about the first few things that are wrong.
    fn problems(mut self) -> Option<String> {
        const SHOWN: usize = 4;
        let missing = self.missing.difference(&self.applied);
        self.problems
            .extend(missing.map(|name| format!("`{}` is missing", key_map::original(name))));
        let more = self.problems.len().saturating_sub(SHOWN);
        self.problems.truncate(SHOWN);
        let mut line = self.problems.join("; ");
        if more > 0 {
            line += &format!("; and {more} more");
        }
        (!line.is_empty()).then_some(line)
    }
}

fn describe(error: ApplyError) -> String {
    let sizes = |shape: &Shape| {
        let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
        sizes.join(" x ")
    };
    match error {
        ApplyError::ShapeMismatch { path, expected, found } => {
            format!("`{}` is {}, not {}", key_map::original(&path), sizes(&found), sizes(&expected))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_weights_come_before_rounded_ones_and_safetensors_before_pickles() {
        let mut files = vec![
            "unet/diffusion_pytorch_model.fp16.bin",
            "unet/model.safetensors.index.fp16.json",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/pytorch_model.bin.index.json",
            "unet/diffusion_pytorch_model.bin",
            "unet/diffusion_pytorch_model.safetensors.index.json",
            "unet/diffusion_pytorch_model.safetensors",
        ];
        // Whatever is best is the last of the list; without it, the one before.
        while let Some(best) = files.last().copied() {
            assert_eq!(locate("unet", |file| files.contains(&file)).as_deref(), Some(best));
            files.pop();
        }
        assert_eq!(locate("unet", |_| false), None);
    }
}
