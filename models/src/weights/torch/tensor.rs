//! A tensor's view of its storage: the values from an offset on, through a stride for each
//! dimension.

use std::io::{Read, Seek};

use burn::tensor::DType;

use super::{
    TorchError,
    container::{Place, Places},
    objects::Object,
    value::Value,
};

/// Views may repeat values (stride 0), so a short file can ask for any number of them. A tensor
/// may be this long, or as long as its file.
const LONGEST_REPEATED: u64 = 1 << 20;

/// How many bytes a tensor of a file may be.
pub(super) fn longest(file_length: u64) -> u64 {
    file_length.max(LONGEST_REPEATED)
}

const NO_TENSOR: TorchError = TorchError::Pickle("a tensor of another form");
const OUTSIDE: TorchError = TorchError::Pickle("a tensor reaches out of its storage");

/// A tensor whose values are still in the file.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    dtype: DType,
    shape: Vec<usize>,
    stride: Vec<usize>,
    storage: Place,
    /// The first byte of the storage that the view touches.
    start: u64,
    /// The bytes from there to the end of the last value.
    window: usize,
    byte_len: usize,
}

impl StoredTensor {
    /// Checks that the view lies within its storage.
    pub(super) fn new(
        Value { objects, index }: Value<'_>,
        storages: &Places,
        file_length: u64,
    ) -> Result<Self, TorchError> {
        let Object::Tensor { storage, offset, shape, stride } = objects.get(index) else {
            return Err(NO_TENSOR);
        };
        let Object::Storage { dtype, key } = objects.get(*storage) else { return Err(NO_TENSOR) };
        let key = objects.text(*key).ok_or(NO_TENSOR)?;
        let storage = *storages.get(key).ok_or(TorchError::Pickle("a storage is missing"))?;
        let offset = objects.size(*offset).ok_or(NO_TENSOR)?;
        let shape = objects.sizes(*shape).ok_or(NO_TENSOR)?;
        let stride = objects.sizes(*stride).ok_or(NO_TENSOR)?;
        if shape.len() != stride.len() {
            return Err(NO_TENSOR);
        }

        let count = shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size));
        let byte_len = count
            .and_then(|count| count.checked_mul(dtype.size()))
            .filter(|bytes| *bytes as u64 <= longest(file_length))
            .ok_or(TorchError::TooLarge)?;
        let last = shape.iter().zip(&stride).try_fold(0_usize, |last, (size, step)| {
            size.saturating_sub(1).checked_mul(*step)?.checked_add(last)
        });
        // A view of nothing touches nothing.
        let touched = if byte_len == 0 { Some(0) } else { last.and_then(|l| l.checked_add(1)) };
        let window = touched.and_then(|count| count.checked_mul(dtype.size())).ok_or(OUTSIDE)?;
        let start = (offset as u64).checked_mul(dtype.size() as u64).ok_or(OUTSIDE)?;
        if start.checked_add(window as u64).is_none_or(|end| end > storage.length) {
            return Err(OUTSIDE);
        }
        Ok(Self { dtype: *dtype, shape, stride, storage, start, window, byte_len })
    }

    /// The type of the values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The size of each dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many bytes [`read`](Self::read) gives.
    pub fn byte_len(&self) -> usize {
        self.byte_len
    }

    /// How many bytes of the file [`read`](Self::read) goes through.
    pub(super) fn read_len(&self) -> usize {
        self.window
    }

    /// Reads the values from the file that was opened: little-endian, row-major, without gaps.
    ///
    /// # Errors
    ///
    /// [`TorchError`] if the file cannot be read, or if the storage's checksum does not fit.
    pub fn read(&self, reader: &mut (impl Read + Seek)) -> Result<Vec<u8>, TorchError> {
        let window = self.storage.read(reader, self.start, self.window)?;
        Ok(if self.is_contiguous() { window } else { self.gather(&window) })
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.byte_len == 0
            || self.shape.iter().zip(&self.stride).rev().all(|(size, step)| {
                // A dimension of size 1 takes no step, and PyTorch writes any number there.
                let fits = *size == 1 || *step == expected;
                expected *= size;
                fits
            })
    }

    fn gather(&self, window: &[u8]) -> Vec<u8> {
        let size = self.dtype.size();
        let mut values = Vec::with_capacity(self.byte_len);
        for index in 0..self.byte_len / size {
            let (mut rest, mut place) = (index, 0);
            for (size, step) in self.shape.iter().zip(&self.stride).rev() {
                place += rest % size * step;
                rest /= size;
            }
            values.extend_from_slice(&window[place * size..][..size]);
        }
        values
    }
}
