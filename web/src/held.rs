//! What a visitor's files hold.

use std::slice;

use dvar::{
    concept::LearnedAdapter,
    embedding::{self, LearnedEmbedding},
    pipelines::ModelFolder,
    session::tokenizers_with,
};
use serde_json::json;
use wasm_bindgen::JsValue;

use crate::{
    error::PageError,
    learned::{file, set},
    options::to_js,
};

/// What an embedding is called whose own word no prompt can hold.
const WORD: &str = "<my-thing>";

/// See [`Studio::held`](crate::studio::Studio::held).
pub fn in_file(model: &ModelFolder, bytes: &[u8], name: &str) -> Result<JsValue, PageError> {
    let embedding = match embedding::read(bytes, name) {
        Err(error) if error.is_about_adapter() => None,
        read => Some(with_word(read?, model)?),
    };
    let adapter = match LearnedAdapter::from_bytes(bytes, name) {
        Err(error) if embedding.is_none() => return Err(error.into()),
        read => read.is_ok(),
    };
    let token = embedding.as_ref().map(|embedding| embedding.placeholder_token());
    let held = to_js(&json!({ "token": token, "adapter": adapter }))?;
    if let Some(embedding) = &embedding {
        let learned = file(&embedding::write(embedding));
        set(&held, "learned", &learned).map_err(PageError::thrown)?;
    }
    Ok(held)
}

/// An embedding with a word that prompts can hold: some tools leave it to the file's name, which may be a
/// word of the model or have white space.
fn with_word(
    embedding: LearnedEmbedding,
    model: &ModelFolder,
) -> Result<LearnedEmbedding, PageError> {
    embedding.check_fit(model)?;
    if tokenizers_with(model, slice::from_ref(&embedding)).is_ok() {
        return Ok(embedding);
    }
    let renamed = embedding.renamed(WORD)?;
    tokenizers_with(model, slice::from_ref(&renamed))?;
    Ok(renamed)
}
