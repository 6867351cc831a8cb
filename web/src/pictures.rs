//! The visitor's pictures.

use dvar::data::{DataError, dataset::Dataset, reading::Reading};
use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use crate::error::PageError;

/// A property of a page's object, `undefined` where it has none.
pub fn property(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or_default()
}

/// Bytes that the page may give.
pub fn bytes(value: &JsValue, what: &str) -> Result<Option<Vec<u8>>, PageError> {
    if value.is_null_or_undefined() {
        return Ok(None);
    }
    match value.dyn_ref::<Uint8Array>() {
        Some(bytes) => Ok(Some(bytes.to_vec())),
        None => Err(PageError::input(format!("{what} must be bytes (`Uint8Array`)"))),
    }
}

fn read(picture: &JsValue) -> Result<(String, Vec<u8>), PageError> {
    let name = property(picture, "name").as_string().unwrap_or_else(|| "picture".into());
    let content = bytes(&property(picture, "bytes"), "a picture's `bytes`")?;
    Ok((name, content.unwrap_or_default()))
}

/// All pictures, prepared; the first bad one is the error.
pub fn dataset(pictures: &JsValue, size: usize, reading: Reading) -> Result<Dataset, PageError> {
    let files: Result<Vec<_>, _> = Array::from(pictures).iter().map(|p| read(&p)).collect();
    Ok(Dataset::from_bytes(files?, size, reading)?)
}

/// What the pictures were found to be.
#[derive(Default)]
pub struct LookedAt {
    /// Those that cannot be used: name and why.
    pub refused: Vec<(String, String)>,
    /// How many of the others have transparent parts.
    pub transparent: usize,
}

/// Reads the pictures one by one.
pub fn look_at(pictures: &JsValue, size: usize, reading: Reading) -> Result<LookedAt, PageError> {
    let pictures = Array::from(pictures);
    if pictures.length() == 0 {
        return Err(DataError::NothingGiven.into());
    }
    let mut found = LookedAt::default();
    for picture in pictures.iter() {
        let (name, content) = read(&picture)?;
        match Dataset::from_bytes(vec![(name.clone(), content)], size, reading) {
            Ok(dataset) => found.transparent += dataset.transparent(),
            Err(error) => found.refused.push((name, error.to_string())),
        }
    }
    Ok(found)
}
