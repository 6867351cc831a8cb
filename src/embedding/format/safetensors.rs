//! The safetensors container: one tensor under the token's name, or one for each of several text
//! encoders under its name, with the token in the metadata.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{
    Element, EncoderVectors, FileProblem, Found, LearnedEmbedding, only_key, rows, token_of,
};

/// The metadata's key for what the tensors of several text encoders are.
const METADATA: &str = "dvar";

/// What the tensors' names do not tell.
#[derive(Serialize, Deserialize)]
struct Described {
    token: String,
    /// The text encoders in their order, which a safetensors file does not keep.
    encoders: Vec<String>,
}

pub(super) fn find(bytes: &[u8]) -> Result<Found, FileProblem> {
    let file = SafeTensors::deserialize(bytes)?;
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let described = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
    if let Some(described) = described.and_then(|text| serde_json::from_str(text).ok()) {
        return of_encoders(&file, described);
    }
    let key = only_key(file.names())?;
    let (values, size) = vectors(&file.tensor(key)?)?;
    Ok(Found::single(token_of(key), values, size))
}

/// The vectors for each of several text encoders.
fn of_encoders(file: &SafeTensors<'_>, described: Described) -> Result<Found, FileProblem> {
    let mut encoders = Vec::new();
    let mut num_vectors = 0;
    for key in described.encoders {
        let (values, (count, dim)) = vectors(&file.tensor(&key)?)?;
        num_vectors = count;
        encoders.push(EncoderVectors { key: Some(key), values, dim });
    }
    Ok(Found { name: Some(described.token), encoders, num_vectors })
}

/// A tensor's values, and its number of vectors and their width.
fn vectors(tensor: &TensorView<'_>) -> Result<(Vec<f32>, (usize, usize)), FileProblem> {
    let element = match tensor.dtype() {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => return Err(FileProblem::Element(format!("{other:?}"))),
    };
    Ok((element.decode(tensor.data()), rows(tensor.shape())?))
}

/// Writes diffusers' `learned_embeds.safetensors`: `{token: [num_vectors, dim]}` in f32 with the
/// metadata `{"format": "pt"}` that its loader asks for; for several text encoders
/// `{key: [num_vectors, dim]}`, with token and keys in the metadata. Equal embeddings give equal
/// bytes.
pub fn write(embedding: &LearnedEmbedding) -> Vec<u8> {
    let token = embedding.placeholder_token();
    let keys = embedding.encoders().iter().filter_map(|encoder| encoder.key.clone());
    let described = Described { token: token.into(), encoders: keys.collect() };
    let tensors = embedding.encoders().iter().map(|encoder| {
        let bytes: Vec<u8> = encoder.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let key = encoder.key.as_deref().unwrap_or(token);
        (key, vec![embedding.num_vectors(), encoder.dim], bytes)
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors
        .iter()
        .map(|(key, shape, bytes)| Ok((*key, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    // one entry: the order of several would change from file to file
    let metadata = if described.encoders.is_empty() {
        ("format", "pt".to_owned())
    } else {
        (METADATA, serde_json::to_string(&described).expect("texts are JSON"))
    };
    let metadata = HashMap::from([(metadata.0.to_owned(), metadata.1)]);
    views
        .collect::<Result<Vec<_>, _>>()
        .and_then(|views| safetensors::serialize(views, Some(metadata)))
        // The only failure is a shape that does not match the data, and the shape of a
        // `LearnedEmbedding` is computed from its number of values.
        .expect("the sizes of a learned embedding agree")
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
}
