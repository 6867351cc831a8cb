//! What a visitor's files hold.

use dvar::{concept::LearnedAdapter, embedding, pipelines::ModelFolder};
use serde_json::json;
use wasm_bindgen::JsValue;

use crate::{
    error::PageError,
    learned::{file, set},
    options::to_js,
};

/// See [`Studio::held`](crate::studio::Studio::held).
pub fn in_file(model: &ModelFolder, bytes: &[u8], name: &str) -> Result<JsValue, PageError> {
    let embedding = match embedding::read(bytes, name) {
        Err(error) if error.is_about_adapter() => None,
        read => Some(read?),
    };
    let adapter = match LearnedAdapter::from_bytes(bytes, name) {
        Err(error) if embedding.is_none() => return Err(error.into()),
        read => read.is_ok(),
    };
    let token = embedding.as_ref().map(|embedding| embedding.placeholder_token());
    let held = to_js(&json!({ "token": token, "adapter": adapter }))?;
    if let Some(embedding) = &embedding {
        embedding.check_fit(model)?;
        let learned = file(&embedding::write(embedding));
        set(&held, "learned", &learned).map_err(PageError::thrown)?;
    }
    Ok(held)
}
