//! The safetensors container: one tensor under the token's name, or one for each of several text
//! encoders under its name, with the token in the metadata.

use std::io::{Read, Seek, SeekFrom};

use dvar_models::weights::safetensors_header;
use serde::{Deserialize, Serialize};

use super::{
    super::{FileProblem, LearnedEmbedding},
    contents::{Contents, Rows, size},
    names::{Meaning, meaning},
};
use crate::tensor::{floats, to_safetensors};

/// What diffusers calls the file of an embedding.
pub const FILE_NAME: &str = "learned_embeds.safetensors";

/// The metadata's key for what the tensors of several text encoders are.
const METADATA: &str = "dvar";

/// What the tensors' names do not tell.
#[derive(Serialize, Deserialize)]
struct Described {
    token: String,
    /// The text encoders in their order, which a safetensors file does not keep.
    encoders: Vec<String>,
}

/// Reads the header and the tensors of an embedding.
pub(super) fn contents(reader: &mut (impl Read + Seek)) -> Result<Contents, FileProblem> {
    let (header, values) = safetensors_header(&mut *reader).map_err(FileProblem::Safetensors)?;
    let described = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
    let described = described.and_then(|text| serde_json::from_str(text).ok());
    let names = header.offset_keys();
    let meaning = match described {
        Some(Described { token, encoders }) => Meaning {
            token: Some(token),
            tensors: encoders.into_iter().map(|key| (Some(key.clone()), key)).collect(),
        },
        None => meaning(names.iter().map(String::as_str).collect())?,
    };
    Contents::gather(meaning, |name| {
        let info = header.info(name).ok_or(FileProblem::NoTensor)?;
        let (count, dim) = size(&info.shape)?;
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        reader.seek(SeekFrom::Start(values + start as u64))?;
        reader.read_exact(&mut bytes)?;
        let values = floats(info.dtype, &bytes);
        let values = values.ok_or_else(|| FileProblem::Element(format!("{:?}", info.dtype)))?;
        Ok(Rows { values, count, dim })
    })
}

/// Writes diffusers' `learned_embeds.safetensors`: `{token: [num_vectors, dim]}` in f32 with the
/// metadata `{"format": "pt"}` that its loader asks for; for several text encoders
/// `{key: [num_vectors, dim]}`, with token and keys in the metadata. Equal embeddings give equal
/// bytes.
pub fn write(embedding: &LearnedEmbedding) -> Vec<u8> {
    let token = embedding.placeholder_token();
    let keys = embedding.encoders().iter().filter_map(|encoder| encoder.key.clone());
    let described = Described { token: token.into(), encoders: keys.collect() };
    if described.encoders.is_empty() {
        return write_as(embedding, token, ("format", "pt"));
    }
    let described = serde_json::to_string(&described).expect("texts are JSON");
    // one entry: the order of several would change from file to file
    write_as(embedding, token, (METADATA, &described))
}

/// Writes each text encoder's vectors under its name, or under `nameless`.
pub(super) fn write_as(
    embedding: &LearnedEmbedding,
    nameless: &str,
    metadata: (&str, &str),
) -> Vec<u8> {
    let tensors = embedding.encoders().iter().map(|encoder| {
        let name = encoder.key.as_deref().unwrap_or(nameless).to_owned();
        (name, vec![embedding.num_vectors(), encoder.dim], &encoder.values[..])
    });
    // It fails where a shape does not match the data or two tensors have one name, and of a
    // `LearnedEmbedding` both are checked.
    to_safetensors(tensors, metadata).expect("a learned embedding is checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_file_is_byte_for_byte_that_of_diffusers() {
        let embedding = LearnedEmbedding::new("<a>", vec![1.0, -2.0], 1, 2).unwrap();
        let header = concat!(
            r#"{"__metadata__":{"format":"pt"},"#,
            r#""<a>":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#
        );
        let padded = format!("{header:<width$}", width = header.len().next_multiple_of(8));
        let mut want = (padded.len() as u64).to_le_bytes().to_vec();
        want.extend(padded.bytes().chain([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]));
        assert_eq!(write(&embedding), want);
    }

    #[test]
    fn a_file_that_names_a_text_encoder_twice_is_refused() {
        let described = r#"{"token":"<a>","encoders":["clip_l","clip_l"]}"#;
        let values = [1.0_f32, -2.0];
        let tensor = ("clip_l".to_owned(), vec![1, 2], &values[..]);
        let file = to_safetensors([tensor], (METADATA, described)).unwrap();
        let error = super::super::read(&file, "a.safetensors").unwrap_err().to_string();
        assert!(
            error.contains("`a.safetensors`") && error.contains("a name of its own"),
            "{error}"
        );
    }
}
