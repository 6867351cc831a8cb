//! The tensors of a safetensors file; its header is checked before anything is read or allocated by
//! it.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
    sync::{Arc, Mutex, PoisonError},
};

use burn::tensor::{BoolStore, Bytes, DType};
use burn_pack::Tensor as PackTensor;
use safetensors::{Dtype, tensor::Metadata};

use super::failure::Failure;

/// The format's own limit (safetensors crate).
const LARGEST_HEADER: u64 = 100_000_000;

/// All tensors of a safetensors file, and what it says of itself. The tensors' values are read when
/// each is asked for, so that no two are in memory; the last failure to do so is left in `failure`,
/// and a type that is not read at once: by its names, the file may be something else altogether.
///
/// # Errors
///
/// A phrase that fits after "`file` is not usable: ".
pub(super) fn tensors<R: Read + Seek + Send + 'static>(
    mut reader: R,
    failure: &Failure,
) -> Result<(Vec<PackTensor>, BTreeMap<String, String>), String> {
    let (metadata, values) = header(&mut reader)?;
    let reader = Arc::new(Mutex::new(reader));
    let lazy = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let dtype = burn_dtype(info.dtype).unwrap_or_else(|| {
            failure.set(format!(
                "`{name}` is of type {:?}, which is not read; give a file in f32, f16 or bf16",
                info.dtype
            ));
            DType::U8
        });
        let (start, end) = info.data_offsets;
        let (from, length) = (values + start as u64, end - start);
        let (reader, failure) = (reader.clone(), failure.clone());
        let read = move || {
            // Each read sets its own position, so one that panicked leaves nothing behind.
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let mut bytes = vec![0; length];
            let whole = reader
                .seek(SeekFrom::Start(from))
                .and_then(|_| reader.read_exact(&mut bytes))
                .map(|()| Bytes::from_bytes_vec(bytes));
            whole.map_err(|error| failure.report(&error))
        };
        PackTensor::deferred(name, dtype, info.shape.clone(), None, length, read)
    };
    // in an order that does not change, for messages
    let tensors: BTreeMap<_, _> = metadata.tensors().into_iter().collect();
    let tensors = tensors.into_iter().map(lazy).collect();
    Ok((tensors, metadata.metadata().clone().unwrap_or_default().into_iter().collect()))
}

/// The header of a whole safetensors file, and where its values begin; nothing else is read.
///
/// # Errors
///
/// A phrase that fits after "`file` is not usable: ".
pub fn header(mut file: impl Read + Seek) -> Result<(Metadata, u64), String> {
    let io = |error: std::io::Error| error.to_string();
    let length = file.seek(SeekFrom::End(0)).map_err(io)?;
    file.rewind().map_err(io)?;
    if length < 8 {
        return Err(format!("it has {length} bytes and is no safetensors file; fetch it again"));
    }
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(io)?;
    let size = u64::from_le_bytes(size);
    if size > LARGEST_HEADER || size > length - 8 {
        return Err(format!(
            "its header claims {size} bytes, the file has {length}; it is cut off or no safetensors file, fetch it again"
        ));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header).map_err(io)?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| format!("its header does not parse ({error}); fetch it again"))?;
    // several tensors can claim as many bytes as no number counts
    let expected = (metadata.data_len() as u64).saturating_add(8 + size);
    if expected != length {
        return Err(format!(
            "it should have {expected} bytes and has {length}; it is cut off, fetch it again"
        ));
    }
    Ok((metadata, 8 + size))
}

/// The types that are read and written, as the format and as burn call them.
const TYPES: [(Dtype, DType); 12] = [
    (Dtype::F64, DType::F64),
    (Dtype::F32, DType::F32),
    (Dtype::F16, DType::F16),
    (Dtype::BF16, DType::BF16),
    (Dtype::I64, DType::I64),
    (Dtype::I32, DType::I32),
    (Dtype::I16, DType::I16),
    (Dtype::I8, DType::I8),
    (Dtype::U64, DType::U64),
    (Dtype::U32, DType::U32),
    (Dtype::U8, DType::U8),
    (Dtype::BOOL, DType::Bool(BoolStore::Native)),
];

fn burn_dtype(dtype: Dtype) -> Option<DType> {
    TYPES.iter().find(|(stored, _)| *stored == dtype).map(|(_, ours)| *ours)
}

/// What the format calls a type of burn's.
pub(super) fn file_dtype(dtype: DType) -> Option<Dtype> {
    TYPES.iter().find(|(_, ours)| *ours == dtype).map(|(stored, _)| *stored)
}
