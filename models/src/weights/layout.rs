//! Which files of a folder hold its weights, as diffusers and transformers save them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Seek},
};

use serde::Deserialize;

use super::{ModelSource, Tensors, Weights};
use crate::ModelError;

/// File names that diffusers and transformers give weights, and their endings. Of two files with
/// the same weights, safetensors is preferred.
const NAMES: [(&str, &str); 4] = [
    ("diffusion_pytorch_model", "safetensors"),
    ("model", "safetensors"),
    ("diffusion_pytorch_model", "bin"),
    ("pytorch_model", "bin"),
];
/// Full weights are preferred to rounded ones, and those to the ones before averaging.
const VARIANTS: [&str; 5] = ["", ".fp32", ".fp16", ".bf16", ".non_ema"];

/// The weights of `part`: those in `{part}/*.safetensors` or `*.bin` (f64, f32, f16 or bf16; one
/// file, an fp16 variant, or shards with an index), or `part` itself where it is a file.
pub(super) fn weights<R: Read + Seek + Send + 'static>(
    source: &dyn ModelSource,
    part: &str,
    open: impl Fn(&str) -> Result<R, ModelError>,
) -> Result<Weights, ModelError> {
    let files = if source.has(part) { vec![part.to_string()] } else { weight_files(source, part)? };
    let mut all = Tensors::default();
    for file in files {
        all.extend(Tensors::read(open(&file)?, &file, source.display(&file))?);
    }
    Ok(Weights::Stored(all))
}

/// The files that the weights of `folder` are read from.
///
/// # Errors
///
/// [`ModelError`] if there are none, or the index of the shards is broken.
pub fn weight_files(files: &dyn ModelSource, folder: &str) -> Result<Vec<String>, ModelError> {
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
    let elsewhere =
        |name: &String| matches!(&**name, "" | "." | "..") || name.contains(['/', '\\']);
    if names.is_empty() || names.iter().any(elsewhere) {
        return Err(ModelError::Invalid {
            file: file.into(),
            reason: "its `weight_map` must name files beside it".into(),
        });
    }
    Ok(names.into_iter().map(|name| format!("{folder}/{name}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_weights_come_before_rounded_ones_and_safetensors_before_pickles() {
        let mut files = vec![
            "unet/diffusion_pytorch_model.non_ema.safetensors",
            "unet/diffusion_pytorch_model.bf16.safetensors",
            "unet/diffusion_pytorch_model.fp16.bin",
            "unet/model.safetensors.index.fp16.json",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.fp32.safetensors",
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
