//! Files of what was learned: an embedding, and what a method changed in the denoiser.

use std::{
    fs::{self, File},
    io::BufReader,
    path::Path,
};

use super::{CliError, input};
use crate::{
    concept::{AdapterError, LearnedAdapter, Lora},
    embedding::{self, EmbeddingError, LearnedEmbedding},
};

/// The largest adapter that is read: a LoRA of rank 1024 of a full-size model.
const MAX_ADAPTER_BYTES: u64 = 2 << 30;

/// Reads the embedding that `FILE` or `FILE=TOKEN` names; the latter gives it another token.
pub(super) fn read_named(given: &str) -> Result<LearnedEmbedding, CliError> {
    let (path, token) = split(given);
    let embedding = read_embedding(Path::new(path))?;
    match token {
        Some(token) => Ok(embedding.renamed(token)?),
        None => Ok(embedding),
    }
}

/// Reads several embeddings that are given so.
pub(super) fn read_each(given: &[String]) -> Result<Vec<LearnedEmbedding>, CliError> {
    given.iter().map(|given| read_named(given)).collect()
}

/// File and token; the names of both may hold an `=`.
pub(super) fn split(given: &str) -> (&str, Option<&str>) {
    let mut splits =
        given.match_indices('=').map(|(at, sign)| (&given[..at], Some(&given[at + sign.len()..])));
    if Path::new(given).is_file() {
        return (given, None);
    }
    let first = splits.clone().next().unwrap_or((given, None));
    splits.find(|(path, _)| Path::new(path).is_file()).unwrap_or(first)
}

/// Reads an embedding file of any known format, and with a first file of diffusers' for SDXL, such as
/// `cat.safetensors`, its second one beside it, `cat_2.safetensors`; that of a step is
/// `learned_embeds_2-steps-500.safetensors`.
pub(super) fn read_embedding(path: &Path) -> Result<LearnedEmbedding, CliError> {
    let first = read_one(path)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map_or(String::new(), |ending| format!(".{}", ending.display()));
    let of_step = stem.replacen("learned_embeds", "learned_embeds_2", 1);
    let beside = [format!("{stem}_2"), of_step];
    let beside = beside.map(|stem| path.with_file_name(format!("{stem}{ending}")));
    let mut beside = beside.into_iter().filter(|beside| beside != path && beside.is_file());
    let Some(beside) = beside.next() else { return Ok(first) };
    match read_one(&beside) {
        Ok(second) => Ok(first.joined(&second).unwrap_or(first)),
        // what lies beside it need not be an embedding
        Err(error) => {
            eprintln!("note: `{}` is read alone: {error}", path.display());
            Ok(first)
        }
    }
}

fn read_one(path: &Path) -> Result<LearnedEmbedding, CliError> {
    let (mut file, _) = open(path, "embedding", embedding::FILE_NAME)?;
    Ok(embedding::read_from(&mut file, &path.display().to_string())?)
}

/// A file that is read here and there, and its length. `kind` is what it should hold, and `usual` the name
/// that such a file has in a run's folder.
fn open(path: &Path, kind: &str, usual: &str) -> Result<(BufReader<File>, u64), CliError> {
    let cannot_read = |error| CliError::read(path, error);
    let found = fs::metadata(path).map_err(cannot_read)?;
    let given = path.display();
    if found.is_dir() {
        return Err(CliError::Input(format!(
            "`{given}` is a folder; give the {kind} in it, such as `{given}/{usual}`"
        )));
    }
    // whoever opens a pipe waits for what may never come, and a device has no end
    if !found.is_file() {
        return Err(CliError::Input(format!(
            "`{given}` is a pipe or a device; save what comes of it to a file, and give that"
        )));
    }
    Ok((BufReader::new(File::open(path).map_err(cannot_read)?), found.len()))
}

/// Reads an adapter: a LoRA of any tool, or Custom Diffusion's weights.
pub(super) fn read_adapter(path: &Path) -> Result<LearnedAdapter, CliError> {
    let [usual, _] = LearnedAdapter::FILE_NAMES;
    let (mut file, length) = open(path, "adapter", usual)?;
    if length > MAX_ADAPTER_BYTES {
        return Err(CliError::Input(format!(
            "`{}` has {:.1} GB, more than any LoRA; a whole model is given with `--model`",
            path.display(),
            length as f64 / 1e9
        )));
    }
    // PEFT's own files say nothing of alpha
    let is_peft = path.file_stem().is_some_and(|stem| stem == "adapter_model");
    let config = path.with_file_name("adapter_config.json");
    let config = match is_peft && config.is_file() {
        true => Some(input::text(&config)?),
        false => None,
    };
    let name = path.display().to_string();
    Ok(LearnedAdapter::read_from(&mut file, &name, config.as_deref())?)
}

/// Whether it is about an adapter, such as a LoRA, that was read as an embedding.
pub(super) fn is_about_adapter(error: &CliError) -> bool {
    let CliError::Part(error) = error else { return false };
    error.downcast_ref().is_some_and(EmbeddingError::is_about_adapter)
}

/// Whether it is about a LoRA whose layers have numbers in the place of names.
pub(super) fn is_about_numbers(error: &CliError) -> bool {
    let CliError::Part(error) = error else { return false };
    error.downcast_ref().is_some_and(AdapterError::is_about_numbers)
}

/// Reads the LoRA that `FILE` or `FILE:SCALE` names.
pub(super) fn read_lora(given: &str) -> Result<Lora, CliError> {
    let (path, scale) = split_scale(given)?;
    match read_adapter(path)? {
        LearnedAdapter::Lora(lora) => Ok(lora.scaled(scale)),
        LearnedAdapter::CustomDiffusion(_) => Err(CliError::Input(format!(
            "`{}` holds Custom Diffusion's weights and is no LoRA; give it with `--adapter`",
            path.display()
        ))),
    }
}

/// File and scale; the names of files may hold a `:`.
fn split_scale(given: &str) -> Result<(&Path, f64), CliError> {
    let whole = Path::new(given);
    let Some((path, scale)) = given.rsplit_once(':').filter(|_| !whole.is_file()) else {
        return Ok((whole, 1.0));
    };
    match scale.parse::<f64>() {
        Ok(scale) if scale.is_finite() => Ok((Path::new(path), scale)),
        _ if Path::new(path).is_file() => Err(CliError::Input(format!(
            "`--lora {given}` ends in `{scale}`, which is no number; write such as `{path}:0.8`"
        ))),
        _ => Ok((whole, 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_behind_the_file_whatever_its_name() {
        assert_eq!(split("none.pt"), ("none.pt", None));
        assert_eq!(split("none.pt=<a=b>"), ("none.pt", Some("<a=b>")));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step=500.pt");
        std::fs::write(&path, "").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(split(path), (path, None));
        let given = format!("{path}=<a>");
        assert_eq!(split(&given), (path, Some("<a>")));
    }

    #[test]
    fn the_second_file_of_sdxl_is_found_by_both_names_that_diffusers_gives_it() {
        for (first, second) in
            [("cat", "cat_2"), ("learned_embeds-steps-9", "learned_embeds_2-steps-9")]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(format!("{name}.safetensors"));
            for (name, dim) in [(first, 3), (second, 4)] {
                let learned = LearnedEmbedding::new("<a>", vec![0.5; dim], 1, dim).unwrap();
                fs::write(path(name), embedding::write(&learned)).unwrap();
            }
            let encoders = |name: &str| read_embedding(&path(name)).unwrap().encoders().len();
            assert_eq!([encoders(first), encoders(second)], [2, 1], "{first}");
        }
    }

    #[test]
    fn a_scale_stands_behind_the_file_whatever_its_name() {
        let split = |given| split_scale(given).map(|(path, scale)| (path.to_str().unwrap(), scale));
        assert_eq!(split("none.pt").unwrap(), ("none.pt", 1.0));
        assert_eq!(split("none.pt:-0.5").unwrap(), ("none.pt", -0.5));
        assert_eq!(split(r"C:\ink.pt").unwrap(), (r"C:\ink.pt", 1.0));
        assert_eq!(split(r"C:\ink.pt:2").unwrap(), (r"C:\ink.pt", 2.0));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ink.pt");
        std::fs::write(&path, "").unwrap();
        for wrong in ["much", "nan", "inf", ""] {
            let given = format!("{}:{wrong}", path.display());
            assert!(split_scale(&given).unwrap_err().to_string().contains("is no number"));
        }
    }
}
