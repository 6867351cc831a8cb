//! A model part's weights written anew, with some of them replaced.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use safetensors::{Dtype, tensor::TensorView};

use super::{ModelSource, Weights, safetensors::file_dtype};
use crate::ModelError;

/// All weights of `part` as one safetensors file under the names they have there; those in
/// `replaced` with new values in f32, everything else as it was.
///
/// # Errors
///
/// [`ModelError`] if the weights cannot be read, if one is there twice, or if one that is to be replaced is
/// not there with as many values.
pub fn with_replaced(
    source: &dyn ModelSource,
    part: &str,
    replaced: &BTreeMap<String, Vec<f32>>,
) -> Result<Vec<u8>, ModelError> {
    let Weights::Stored(tensors) = source.weights(part)? else {
        let reason = "its weights are random numbers".into();
        return Err(ModelError::Invalid { file: source.display(part), reason });
    };
    let shown = tensors.file().to_string();
    let invalid = |reason: String| ModelError::Invalid { file: shown.clone(), reason };
    let mut written: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let (mut names, mut found) = (BTreeSet::new(), 0);
    for tensor in tensors.into_parts()?.0 {
        let (name, dtype, shape, _, bytes) =
            tensor.into_parts().map_err(|error| invalid(error.to_string()))?;
        let shape = shape.to_vec();
        // `serialize` would panic
        if !names.insert(name.clone()) {
            return Err(invalid(format!("it holds `{name}` twice")));
        }
        match replaced.get(&name) {
            Some(values) if values.len() == shape.iter().product::<usize>() => {
                found += 1;
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                written.push((name, Dtype::F32, shape, bytes));
            }
            Some(_) => return Err(invalid(format!("`{name}` has another size"))),
            None => {
                let dtype = file_dtype(dtype)
                    .ok_or_else(|| invalid(format!("`{name}` is of type {dtype:?}")))?;
                written.push((name, dtype, shape, bytes.to_vec()));
            }
        }
    }
    if found < replaced.len() {
        return Err(invalid(format!("it holds {found} of the {} weights", replaced.len())));
    }
    let views = written
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| invalid(error.to_string()))?;
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::weights::Memory;

    #[test]
    fn a_weight_that_two_shards_hold_is_an_error() {
        let shard = || {
            let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
            safetensors::serialize([("a", view)], None).unwrap()
        };
        let index = br#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#;
        let files = [
            ("unet/diffusion_pytorch_model.safetensors.index.json", index.to_vec()),
            ("unet/1.safetensors", shard()),
            ("unet/2.safetensors", shard()),
        ];
        let files = files.map(|(name, bytes)| (name.to_string(), Cow::<[u8]>::Owned(bytes)));
        let error = with_replaced(&Memory(files.into()), "unet", &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("it holds `a` twice"), "{error}");
    }
}
