//! The safetensors container: one tensor under the token's name.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{Element, FileProblem, Found, LearnedEmbedding, only_key, rows, token_of};

pub(super) fn find(bytes: &[u8]) -> Result<Found, FileProblem> {
    let file = SafeTensors::deserialize(bytes)?;
    let key = only_key(file.names())?;
    let tensor = file.tensor(key)?;
    let element = match tensor.dtype() {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => return Err(FileProblem::Element(format!("{other:?}"))),
    };
    let (num_vectors, dim) = rows(tensor.shape())?;
    Ok(Found { name: token_of(key), values: element.decode(tensor.data()), num_vectors, dim })
}

/// Writes diffusers' `learned_embeds.safetensors`: `{token: [num_vectors, dim]}` in f32 with the
/// metadata `{"format": "pt"}` that its loader asks for. Equal embeddings give equal bytes.
pub fn write(embedding: &LearnedEmbedding) -> Vec<u8> {
    let data: Vec<u8> = embedding.vectors().iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![embedding.num_vectors(), embedding.dim()];
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    TensorView::new(Dtype::F32, shape, &data)
        .and_then(|tensor| {
            safetensors::serialize([(embedding.placeholder_token(), tensor)], Some(metadata))
        })
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
