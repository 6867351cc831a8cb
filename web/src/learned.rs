//! What a run has learned, as the page saves it, and what a visitor's files hold.

use dvar::{
    concept::{LearnedAdapter, LearnedConcept},
    embedding,
};
use js_sys::{Error, Object, Reflect, Uint8Array};
use serde_json::json;
use wasm_bindgen::JsValue;

use crate::{error::PageError, options::to_js, studio::Studio};

/// A learned concept as the page saves it: `learned`, and `adapter` where the method has one. What
/// fails is an `Error` of the page's.
pub fn files(concept: &LearnedConcept) -> Result<JsValue, JsValue> {
    let files = JsValue::from(Object::new());
    set(&files, "learned", &file(&embedding::write(&concept.embedding)))?;
    if let Some(adapter) = &concept.adapter {
        let bytes = adapter.to_bytes().map_err(|error| Error::new(&error.to_string()))?;
        let object = Object::new();
        set(&object, "file", &adapter.file_name().into())?;
        set(&object, "bytes", &file(&bytes))?;
        set(&files, "adapter", &object)?;
    }
    Ok(files)
}

/// See [`Studio::held`].
pub fn held(studio: &Studio, bytes: &[u8], name: &str) -> Result<JsValue, PageError> {
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
        embedding.check_fit(&studio.model)?;
        let learned = file(&embedding::write(embedding));
        set(&held, "learned", &learned).map_err(PageError::thrown)?;
    }
    Ok(held)
}

fn set(object: &JsValue, name: &str, value: &JsValue) -> Result<bool, JsValue> {
    Reflect::set(object, &name.into(), value)
}

fn file(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}
