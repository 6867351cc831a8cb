//! Host tensors in safetensors files.

use std::collections::{BTreeSet, HashMap};

use burn::tensor::DType;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensorError, tensor::TensorView};

use super::HostTensor;

/// A file with these tensors in f32, each given by its name, its shape and its values, and one entry
/// of metadata. Equal tensors give equal bytes.
///
/// # Errors
///
/// If two tensors have one name or a tensor's values are not as many as its shape says, in words that fit
/// after the file's name.
pub(crate) fn to_safetensors<'a>(
    tensors: impl IntoIterator<Item = (String, Vec<usize>, &'a [f32])>,
    (key, value): (&str, &str),
) -> Result<Vec<u8>, String> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let mut names = BTreeSet::new();
    for (name, _, _) in &tensors {
        // `serialize` would panic
        if !names.insert(name) {
            return Err(format!("two of its tensors would be called `{name}`"));
        }
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(|error| error.to_string())?;
    let metadata = HashMap::from([(key.into(), value.into())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// Stored numbers as f32, nearest where they are doubles; none for a type that is no float of 16, 32
/// or 64 bits.
pub(crate) fn floats(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F16 => convert(bytes, |value| f16::from_le_bytes(value).to_f32()),
        Dtype::BF16 => convert(bytes, |value| bf16::from_le_bytes(value).to_f32()),
        Dtype::F32 => convert(bytes, f32::from_le_bytes),
        Dtype::F64 => convert(bytes, |value| f64::from_le_bytes(value) as f32),
        _ => return None,
    })
}

/// What safetensors calls a type of floats; none for others.
pub(crate) fn float_type(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        _ => return None,
    })
}

fn convert<const SIZE: usize>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().copied().map(value).collect()
}

impl HostTensor {
    /// A file's tensor under a name of our own, or what is wrong with it, after its name.
    pub(crate) fn from_view(name: &str, view: &TensorView<'_>) -> Result<Self, String> {
        let &[rows, columns] = view.shape() else { return Err("is no matrix".into()) };
        if view.dtype() != Dtype::F32 {
            return Err(format!("is {:?}, not F32", view.dtype()));
        }
        let values = floats(view.dtype(), view.data()).unwrap_or_default();
        Ok(Self { name: name.into(), shape: [rows, columns], values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tensors_of_one_name_are_refused() {
        let values = [0.5_f32];
        let tensor = |name: &str| (name.to_owned(), vec![1], &values[..]);
        let write = |names: [&str; 2]| to_safetensors(names.map(tensor), ("format", "pt"));
        assert!(write(["a", "b"]).is_ok());
        assert_eq!(write(["a", "a"]).unwrap_err(), "two of its tensors would be called `a`");
    }

    #[test]
    fn half_and_double_values_become_the_nearest_f32() {
        let bytes: [(Dtype, &[u8], &[f32]); 3] = [
            (Dtype::F16, &[0x00, 0x3c, 0x00, 0xc0], &[1.0, -2.0]),
            (Dtype::BF16, &[0x80, 0x3f, 0x49, 0x40], &[1.0, 3.140625]),
            (Dtype::F64, &0.1_f64.to_le_bytes(), &[0.1]),
        ];
        for (dtype, bytes, values) in bytes {
            assert_eq!(floats(dtype, bytes).unwrap(), values);
        }
        assert_eq!(floats(Dtype::I32, &[0; 4]), None);
    }
}
