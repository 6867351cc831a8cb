//! A picture with an embedding in it, as AUTOMATIC1111 saves one beside an embedding: a text chunk of
//! the PNG, base64 of JSON. (The copy that it hides in the pixels is not read.)

use std::{
    collections::BTreeMap,
    io::{Read, Seek},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;

use super::{
    super::FileProblem,
    contents::{Contents, Rows, size},
    names::meaning,
};

pub(super) const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The kind and the keyword of the chunk, which a zero ends.
const CHUNK: &[u8] = b"tEXtsd-ti-embedding\0";

/// The largest picture that is read.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Deserialize)]
struct Saved {
    name: Option<String>,
    string_to_param: BTreeMap<String, Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    #[serde(rename = "TORCHTENSOR")]
    rows: Vec<Vec<f32>>,
}

pub(super) fn contents(reader: &mut (impl Read + Seek)) -> Result<Contents, FileProblem> {
    let mut bytes = Vec::new();
    reader.by_ref().take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = text(&bytes)?;
    let broken =
        |error: String| FileProblem::Picture(format!("its embedding is damaged ({error})"));
    let json = BASE64_STANDARD.decode(text).map_err(|error| broken(error.to_string()))?;
    let saved: Saved = serde_json::from_slice(&json).map_err(|error| broken(error.to_string()))?;
    let mut meaning = meaning(saved.string_to_param.keys().map(String::as_str).collect())?;
    meaning.token = saved.name.filter(|name| !name.trim().is_empty());
    Contents::gather(meaning, |name| {
        let rows = &saved.string_to_param[name].rows;
        let shape = [rows.len(), rows.first().map_or(0, Vec::len)];
        let (count, dim) = size(&shape)?;
        if rows.iter().any(|row| row.len() != dim) {
            return Err(broken("its vectors are not equally long".into()));
        }
        Ok(Rows { values: rows.concat(), count, dim })
    })
}

/// The text of the chunk with the embedding.
fn text(png: &[u8]) -> Result<&[u8], FileProblem> {
    const CUT_OFF: &str = "it is damaged or cut off, copy the file again";
    let mut rest = &png[MAGIC.len()..];
    // a chunk is a length, a kind, so many bytes and a checksum of the latter two
    while let Some((length, chunk)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let whole = chunk.split_at_checked(length.saturating_add(4));
        let (content, sum) = whole.ok_or_else(|| FileProblem::Picture(CUT_OFF.into()))?;
        let (sum, next) =
            sum.split_first_chunk().ok_or_else(|| FileProblem::Picture(CUT_OFF.into()))?;
        if let Some(text) = content.strip_prefix(CHUNK) {
            if crc32fast::hash(content) != u32::from_be_bytes(*sum) {
                return Err(FileProblem::Picture(CUT_OFF.into()));
            }
            return Ok(text);
        }
        rest = next;
    }
    Err(FileProblem::Picture("it is a picture, and there is no embedding in it".into()))
}
