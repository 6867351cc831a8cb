//! The tensors of a PyTorch file, as burn-store takes them.

use std::{
    io::{BufReader, Read, Seek},
    sync::{Arc, Mutex, PoisonError},
};

use burn::tensor::Bytes;
use burn_pack::Tensor as PackTensor;

use super::{
    failure::Failure,
    torch::{StoredTensor, TorchError, TorchFile},
};

/// All tensors of a PyTorch file, with `is_checkpoint` of one that a trainer left, whose values are
/// read when each is asked for; the last failure to do so is left in `failure`.
///
/// # Errors
///
/// [`TorchError`] if the file is anything but `{name: tensor}`.
pub(super) fn tensors<R: Read + Seek + Send + 'static>(
    mut reader: R,
    is_checkpoint: bool,
    failure: &Failure,
) -> Result<Vec<PackTensor>, TorchError> {
    let mut many_small = BufReader::new(&mut reader);
    let file = if is_checkpoint {
        TorchFile::open_checkpoint(&mut many_small)?
    } else {
        TorchFile::open(&mut many_small)?
    };
    let tensors = file.state_dict()?;
    let reader = Arc::new(Mutex::new(reader));
    let lazy = |(name, tensor): (String, StoredTensor)| {
        let (dtype, shape, length) = (tensor.dtype(), tensor.shape().to_vec(), tensor.byte_len());
        let (reader, failure) = (reader.clone(), failure.clone());
        PackTensor::deferred(name, dtype, shape, None, length, move || {
            // Each read sets its own position, so one that panicked leaves nothing behind.
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let values = tensor.read(&mut *reader).map(Bytes::from_bytes_vec);
            values.map_err(|error| failure.report(&error))
        })
    };
    Ok(tensors.into_iter().map(lazy).collect())
}
