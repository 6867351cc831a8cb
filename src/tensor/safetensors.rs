//! Host tensors in safetensors files.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensorError, tensor::TensorView};

use super::HostTensor;

/// A file with these tensors in f32, each given by its name, its shape and its values, and one entry
/// of metadata. Equal tensors give equal bytes.
///
/// # Errors
///
/// [`SafeTensorError`] if a tensor's values are not as many as its shape says.
pub(crate) fn to_safetensors<'a>(
    tensors: impl IntoIterator<Item = (String, Vec<usize>, &'a [f32])>,
    (key, value): (&str, &str),
) -> Result<Vec<u8>, SafeTensorError> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, SafeTensorError>>()?;
    safetensors::serialize(views, Some(HashMap::from([(key.into(), value.into())])))
}

impl HostTensor {
    /// A file's tensor under a name of our own, or what is wrong with it, after its name.
    pub(crate) fn from_view(name: &str, view: &TensorView<'_>) -> Result<Self, String> {
        let &[rows, columns] = view.shape() else { return Err("is no matrix".into()) };
        if view.dtype() != Dtype::F32 {
            return Err(format!("is {:?}, not F32", view.dtype()));
        }
        let words = view.data().as_chunks::<4>().0;
        let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        Ok(Self { name: name.into(), shape: [rows, columns], values })
    }
}
