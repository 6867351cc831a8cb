//! What a run has learned, as the page saves it.

use dvar::{concept::LearnedConcept, embedding};
use js_sys::{Error, Object, Reflect, Uint8Array};
use wasm_bindgen::JsValue;

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

/// Sets a property.
pub fn set(object: &JsValue, name: &str, value: &JsValue) -> Result<bool, JsValue> {
    Reflect::set(object, &name.into(), value)
}

/// A file's bytes.
pub fn file(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}
