//! How the loss of a run fell, in the words of the command line.

use dvar::session::Fall;
use serde_json::json;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{error::PageError, options::to_js};

/// How the losses of the fixed batch fell, whether they did, and whether more steps should bring more;
/// null where there are not yet two windows of them.
///
/// # Errors
///
/// None that a page can cause.
#[wasm_bindgen(unchecked_return_type = "Fall | null")]
pub fn fall(losses: &[f64], window: usize) -> Result<JsValue, PageError> {
    match Fall::new(losses, window) {
        Some(fall) => to_js(&json!({
            "text": fall.to_string(),
            "fell": fall.fell(),
            "goes_on": fall.goes_on(),
        })),
        None => Ok(JsValue::NULL),
    }
}
