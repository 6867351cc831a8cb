//! Tensors and parts of steps on their way between a page's workers.

use dvar::{concept::HostTensor, trainer::Part};
use js_sys::{Array, Float32Array};
use wasm_bindgen::JsValue;

use crate::{error::PageError, learned::object, pictures::property};

/// The values of each tensor, as `Float32Array`s.
pub fn values<'a>(tensors: impl IntoIterator<Item = &'a [f32]>) -> JsValue {
    let arrays = tensors.into_iter().map(|values| JsValue::from(Float32Array::from(values)));
    arrays.collect::<Array>().into()
}

/// What [`values`] made.
pub fn floats(arrays: &JsValue) -> Vec<Vec<f32>> {
    let arrays = Array::from(arrays).into_iter();
    arrays.map(|array| Float32Array::new(&array).to_vec()).collect()
}

/// Tensors of such names and shapes with these values.
pub fn tensors(like: &[HostTensor], values: Vec<Vec<f32>>) -> Result<Vec<HostTensor>, PageError> {
    if !like.iter().map(|tensor| tensor.values.len()).eq(values.iter().map(Vec::len)) {
        return Err(PageError::input("a worker has another run; reload the page"));
    }
    let named = like.iter().zip(values);
    Ok(named.map(|(tensor, values)| HostTensor { values, ..tensor.clone() }).collect())
}

/// A part as the page passes it on.
pub fn write(part: &Part) -> Result<JsValue, PageError> {
    let part = object([
        ("losses", values([part.losses.as_slice()])),
        ("inputs", values(part.inputs.iter().map(Vec::as_slice))),
        ("gradients", values(part.gradients.iter().map(|gradient| gradient.values.as_slice()))),
    ]);
    Ok(part.map_err(PageError::thrown)?.into())
}

/// What [`write`] made of a part whose gradients, if it has some, are of these parameters.
pub fn read(part: &JsValue, parameters: &[HostTensor]) -> Result<Part, PageError> {
    let gradients = floats(&property(part, "gradients"));
    Ok(Part {
        losses: floats(&property(part, "losses")).concat(),
        inputs: floats(&property(part, "inputs")),
        gradients: if gradients.is_empty() { Vec::new() } else { tensors(parameters, gradients)? },
    })
}
