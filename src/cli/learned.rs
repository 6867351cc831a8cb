//! Files of what was learned: an embedding, and what a method changed in the denoiser.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use super::CliError;
use crate::{
    concept::LearnedAdapter,
    embedding::{self, LearnedEmbedding},
};

/// The largest adapter that is read: a LoRA of rank 1024 of a full-size model.
const MAX_ADAPTER_BYTES: usize = 2 << 30;

/// Reads the embedding that `FILE` or `FILE=TOKEN` names; the latter gives it another token.
pub(super) fn read_named(given: &str) -> Result<LearnedEmbedding, CliError> {
    let (path, token) = split(given);
    let embedding = read_embedding(Path::new(path))?;
    match token {
        Some(token) => Ok(embedding.renamed(token)?),
        None => Ok(embedding),
    }
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
/// `cat.safetensors`, its second one beside it, `cat_2.safetensors`.
pub(super) fn read_embedding(path: &Path) -> Result<LearnedEmbedding, CliError> {
    let first = read_one(path)?;
    let stem = path.file_stem().unwrap_or_default().display();
    let ending = path.extension().map_or(String::new(), |ending| format!(".{}", ending.display()));
    // what lies beside it need not be an embedding
    let second = read_one(&path.with_file_name(format!("{stem}_2{ending}"))).ok();
    Ok(second.and_then(|second| first.joined(&second)).unwrap_or(first))
}

fn read_one(path: &Path) -> Result<LearnedEmbedding, CliError> {
    if path.is_dir() {
        return Err(CliError::Input(format!(
            "`{0}` is a folder; give the embedding in it, such as `{0}/learned_embeds.safetensors`",
            path.display()
        )));
    }
    let file = File::open(path).map_err(|error| CliError::read(path, error))?;
    Ok(embedding::read_from(&mut BufReader::new(file), &path.display().to_string())?)
}

/// Reads an adapter that `dvar train` wrote.
pub(super) fn read_adapter(path: &Path) -> Result<LearnedAdapter, CliError> {
    let bytes = read_limited(path, MAX_ADAPTER_BYTES);
    let bytes = bytes.map_err(|error| CliError::read(path, error))?;
    Ok(LearnedAdapter::from_bytes(&bytes, &path.display().to_string())?)
}

/// Reads a file, but at most `limit + 1` bytes of it: more than `limit` bytes say that it is longer,
/// and a wrong file of any size costs no more.
fn read_limited(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
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
    fn a_long_file_is_read_one_byte_past_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_limited(&path, 10).unwrap(), [7; 11]);
        assert_eq!(read_limited(&path, 100).unwrap(), [7; 100]);
    }
}
