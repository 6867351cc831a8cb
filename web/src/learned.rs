//! What a run has learned, as the page saves it.

use dvar::{concept::LearnedConcept, embedding};
use js_sys::{Error, Object, Reflect, Uint8Array};
use wasm_bindgen::JsValue;

/// A learned concept as the page saves it: `learned`, and `adapter` where the method has one. What
/// fails is an `Error` of the page's.
pub fn files(concept: &LearnedConcept) -> Result<JsValue, JsValue> {
    let files = object([("learned", file(&embedding::write(&concept.embedding)))])?;
    if let Some(adapter) = &concept.adapter {
        let bytes = adapter.to_bytes().map_err(|error| Error::new(&error.to_string()))?;
        let name = JsValue::from(adapter.file_name());
        let adapter = object([("file", name), ("bytes", file(&bytes))])?;
        set(&files, "adapter", &adapter)?;
    }
    Ok(files.into())
}

/// An object with these properties.
pub fn object<const N: usize>(properties: [(&str, JsValue); N]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, &value)?;
    }
    Ok(object)
}

/// Sets a property.
pub fn set(object: &JsValue, name: &str, value: &JsValue) -> Result<bool, JsValue> {
    Reflect::set(object, &name.into(), value)
}

/// A file's bytes.
pub fn file(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}
