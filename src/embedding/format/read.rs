//! From a file of any form to an embedding.

use std::{
    io::{Cursor, Read, Seek},
    path::Path,
};

use super::{
    super::{EmbeddingError, FileProblem, LearnedEmbedding},
    contents::Contents,
    picture, safetensors, torch,
};

/// Reads a learned embedding from the whole content of a file; see [`read_from`].
///
/// # Errors
///
/// Those of [`read_from`].
pub fn read(bytes: &[u8], file_name: &str) -> Result<LearnedEmbedding, EmbeddingError> {
    read_from(&mut Cursor::new(bytes), file_name)
}

/// Reads a learned embedding from a file, of which no more is read than its tables and the vectors:
/// it may lie in a file of any size, such as a LoRA.
///
/// The container is told by its content. `file_name` appears in errors, and its stem becomes the
/// placeholder token where the format stores none. Values are converted to f32.
///
/// # Errors
///
/// [`EmbeddingError::File`] if the file is damaged or of another kind, or holds more than one token or
/// a value that is not finite.
pub fn read_from(
    reader: &mut (impl Read + Seek),
    file_name: &str,
) -> Result<LearnedEmbedding, EmbeddingError> {
    let in_file = |problem| EmbeddingError::File { file: file_name.into(), problem };
    let Contents { token, encoders, num_vectors } = contents(reader).map_err(in_file)?;
    let stem = || Path::new(file_name).file_stem().unwrap_or_default().to_string_lossy().into();
    LearnedEmbedding::for_encoders(token.unwrap_or_else(stem), encoders, num_vectors)
        .map_err(|invalid| in_file(FileProblem::Invalid(Box::new(invalid))))
}

fn contents(reader: &mut (impl Read + Seek)) -> Result<Contents, FileProblem> {
    let mut head = Vec::new();
    reader.by_ref().take(256).read_to_end(&mut head)?;
    reader.rewind()?;
    if head.starts_with(picture::MAGIC) {
        return picture::contents(reader);
    }
    // A safetensors file is the length of its JSON header, then the header; no PyTorch file can
    // have a brace as its ninth byte.
    if head.get(8) == Some(&b'{') {
        return safetensors::contents(reader);
    }
    if head.starts_with(b"version https://git-lfs") {
        return Err(FileProblem::LfsPointer);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let text = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    if ["<!doctype html", "<html", "<head"].iter().any(|start| text.starts_with(start)) {
        return Err(FileProblem::WebPage);
    }
    torch::contents(reader)
}
