//! Stored tensors by name, whose values are read when each is asked for.

use std::{
    collections::BTreeMap,
    io::{Read, Seek},
    sync::{Arc, Mutex, PoisonError},
};

use burn::tensor::{Bytes, TensorData};
use burn_pack::Tensor as PackTensor;

use super::{
    content::{self, Container},
    failure::Failure,
    pickled, safetensors,
};
use crate::ModelError;

/// The tensors of one part of a model; of their values, no two are in memory.
/// Copies share their files.
#[derive(Clone, Debug, Default)]
pub struct Tensors {
    /// How messages name their files, the first one's name first.
    files: Vec<String>,
    metadata: BTreeMap<String, String>,
    pub(super) tensors: Vec<PackTensor>,
    failures: Vec<Failure>,
}

impl Tensors {
    /// The tensors of a safetensors file, or of a PyTorch one: its content tells which, or its name's
    /// ending where that tells nothing; `shown` is the name in messages.
    ///
    /// # Errors
    ///
    /// [`ModelError::Invalid`] if it is neither, or if the weights of a network in a PyTorch file (`.bin`,
    /// `.pth`) ask for more than tensors.
    pub fn read<R: Read + Seek + Send + 'static>(
        mut reader: R,
        file: &str,
        shown: String,
    ) -> Result<Self, ModelError> {
        let failure = Failure::of(shown.clone());
        let ends = |endings: [&str; 2]| endings.iter().any(|ending| file.ends_with(ending));
        let is_network = ends([".bin", ".pth"]);
        let by_name = match is_network || ends([".ckpt", ".pt"]) {
            true => Container::Torch,
            false => Container::Safetensors,
        };
        let tensors =
            content::container(&mut reader).and_then(|told| match told.unwrap_or(by_name) {
                Container::Torch => {
                    let tensors = pickled::tensors(reader, !is_network, &failure);
                    tensors
                        .map(|tensors| (tensors, BTreeMap::new()))
                        .map_err(|error| error.to_string())
                }
                Container::Safetensors => safetensors::tensors(reader, &failure),
            });
        match tensors {
            Ok((tensors, metadata)) => {
                Ok(Self { files: vec![shown], metadata, tensors, failures: vec![failure] })
            }
            Err(reason) => Err(ModelError::Invalid { file: shown, reason }),
        }
    }

    /// How messages name the first of their files.
    pub fn file(&self) -> &str {
        self.files.first().map_or("", String::as_str)
    }

    /// Adds the tensors of another file.
    pub fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.metadata.extend(other.metadata);
        self.tensors.extend(other.tensors);
        self.failures.extend(other.failures);
    }

    /// What the files say of themselves (safetensors' `__metadata__`).
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensors under the names that `translate` gives for theirs: none leaves a tensor out,
    /// several share its rows evenly.
    #[must_use]
    pub(crate) fn renamed(mut self, translate: impl Fn(&str) -> Vec<String>) -> Self {
        let renamed = self.tensors.into_iter().flat_map(|mut tensor| {
            let mut names = translate(&tensor.name);
            if names.len() > 1 {
                return split_rows(tensor, names);
            }
            names.pop().map(|name| tensor.name = name).map(|()| tensor).into_iter().collect()
        });
        self.tensors = renamed.collect();
        self
    }

    /// The matrix of this name, where there is one, with its rows as columns.
    #[must_use]
    pub(crate) fn transposed(mut self, name: &str) -> Self {
        for tensor in &mut self.tensors {
            if tensor.name == name && tensor.shape.len() == 2 {
                *tensor = transpose(tensor.clone());
            }
        }
        self
    }

    /// Their shapes, by name.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.to_vec())).collect()
    }

    /// The values of the tensor of this name, where there is one.
    ///
    /// # Errors
    ///
    /// [`ModelError::Invalid`] if they cannot be read.
    pub(crate) fn values(&self, name: &str) -> Result<Option<Vec<f32>>, ModelError> {
        let Some(tensor) = self.tensors.iter().find(|tensor| tensor.name == name) else {
            return Ok(None);
        };
        let bytes = tensor.to_bytes().map_err(|error| error.to_string());
        // where there is one, it says more
        Self::failure(&self.failures)?;
        let data = bytes.and_then(|bytes| {
            let data = TensorData::try_from_bytes(bytes, tensor.shape.clone(), tensor.dtype);
            data.map_err(|error| error.to_string())
        });
        match data {
            Ok(data) => Ok(Some(data.iter::<f32>().collect())),
            Err(reason) => Err(ModelError::Invalid { file: self.file().into(), reason }),
        }
    }

    /// The last failure to read values, if there was one.
    pub(super) fn failure(failures: &[Failure]) -> Result<(), ModelError> {
        failures.iter().find_map(Failure::take).map_or(Ok(()), Err)
    }

    /// Checks that the values are of types that are read.
    ///
    /// # Errors
    ///
    /// [`ModelError::Invalid`] names a tensor that is not.
    pub(crate) fn check_types(&self) -> Result<(), ModelError> {
        Self::failure(&self.failures)
    }

    /// The tensors, and where failures to read them are left.
    ///
    /// # Errors
    ///
    /// Those of [`check_types`](Self::check_types).
    pub(super) fn into_parts(self) -> Result<(Vec<PackTensor>, Vec<Failure>), ModelError> {
        self.check_types()?;
        Ok((self.tensors, self.failures))
    }
}

fn transpose(tensor: PackTensor) -> PackTensor {
    let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
    let (name, dtype, length) = (tensor.name.clone(), tensor.dtype, tensor.byte_len());
    let size = dtype.size();
    PackTensor::deferred(name, dtype, vec![columns, rows], None, length, move || {
        let values = tensor.to_bytes()?;
        let mut turned = vec![0; length];
        // over the values: a file may claim any number of rows or columns without any
        for (index, value) in values.chunks_exact(size).enumerate() {
            let (row, column) = (index / columns, index % columns);
            turned[(column * rows + row) * size..][..size].copy_from_slice(value);
        }
        Ok(Bytes::from_bytes_vec(turned))
    })
}

/// A tensor's rows as several of equal size, whose values are read once for all of them; a tensor
/// whose rows do not share out stays as it is, under its own name.
fn split_rows(tensor: PackTensor, names: Vec<String>) -> Vec<PackTensor> {
    let (count, rows) = (names.len(), tensor.shape.first().copied().unwrap_or(0));
    if rows == 0 || !rows.is_multiple_of(count) {
        return vec![tensor];
    }
    let (dtype, length) = (tensor.dtype, tensor.byte_len() / count);
    let mut shape = tensor.shape.to_vec();
    shape[0] = rows / count;
    // the values between the first and the last of the parts that ask for them
    let kept: Arc<Mutex<(Option<Bytes>, usize)>> = Arc::default();
    let part = |(index, name)| {
        let (tensor, kept) = (tensor.clone(), kept.clone());
        PackTensor::deferred(name, dtype, shape.clone(), None, length, move || {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let values = match kept.0.take() {
                Some(values) => values,
                None => tensor.to_bytes()?,
            };
            let own = values[index * length..][..length].to_vec();
            kept.1 += 1;
            if kept.1 % count != 0 {
                kept.0 = Some(values);
            }
            Ok(Bytes::from_bytes_vec(own))
        })
    };
    names.into_iter().enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::*;

    fn transposed(shape: [usize; 2], values: &[u8]) -> Vec<u8> {
        let bytes = Bytes::from_bytes_vec(values.to_vec());
        let tensor = PackTensor::new("a".into(), DType::U8, shape.to_vec(), None, bytes);
        transpose(tensor).to_bytes().unwrap().to_vec()
    }

    #[test]
    fn rows_become_columns_and_any_number_of_them_without_values_takes_no_time() {
        assert_eq!(transposed([2, 3], &[1, 2, 3, 4, 5, 6]), [1, 4, 2, 5, 3, 6]);
        for shape in [[0, usize::MAX], [usize::MAX, 0]] {
            assert!(transposed(shape, &[]).is_empty());
        }
    }
}
