//! The files of `torch.save` (`.bin`, `.pt`), read without running anything in them.
//!
//! burn-store's own reader is not used. It reads files only, and a browser has them in memory; it
//! takes what it does not know for empty objects, where a user must be told which object a file
//! asks for; and learned embeddings need more of a pickle than its tensors. What is read here goes
//! through the same part of burn-store as safetensors do.

mod container;
mod error;
mod input;
mod objects;
mod pickle;
mod tensor;
mod value;

use std::{
    collections::BTreeMap,
    io::{Read, Seek},
    iter::successors,
};

pub(in crate::weights) use self::container::MAGIC;
#[doc(hidden)] // shared with the page
pub use self::error::IS_EMBEDDING;
use self::{
    container::Places,
    objects::{Foreign, Index, Object},
    pickle::Pickle,
    tensor::longest,
};
pub use self::{error::TorchError, tensor::StoredTensor, value::Value};

/// How many times its file's length, or a tensor's least limit, all tensors together may be: they may
/// share storages, as tied weights do.
const LONGEST_SHARED: u64 = 4;
/// How many times its file's length, or a tensor's least limit, all tensors together may read: of values that
/// lie far apart, each reads all between the first and the last.
const MOST_READ: u64 = 100;
/// The longest name of a tensor; that of Stable Diffusion's longest has 69 bytes.
const LONGEST_NAME: usize = 256;
/// How many dictionaries deep a `state_dict` may lie: one that holds itself has no end.
const DEEPEST: usize = 8;

/// An opened PyTorch file: the objects of its pickle, and where the values of its tensors lie.
#[derive(Debug)]
pub struct TorchFile {
    pickle: Pickle,
    storages: Places,
    /// Bytes in the file.
    length: u64,
    foreign: Foreign,
}

impl TorchFile {
    /// Reads everything but the values of the tensors.
    ///
    /// # Errors
    ///
    /// [`TorchError`] if the file is none of `torch.save`, is damaged, or asks for an object that
    /// tensors do not need.
    pub fn open(reader: &mut (impl Read + Seek)) -> Result<Self, TorchError> {
        Self::opened(reader, Foreign::Refused)
    }

    /// The same for a checkpoint (`.ckpt`), in which trainers leave objects of their own: these are
    /// skipped, and never made.
    ///
    /// # Errors
    ///
    /// [`TorchError`] if the file is none of `torch.save` or is damaged.
    pub fn open_checkpoint(reader: &mut (impl Read + Seek)) -> Result<Self, TorchError> {
        Self::opened(reader, Foreign::Skipped)
    }

    fn opened(reader: &mut (impl Read + Seek), foreign: Foreign) -> Result<Self, TorchError> {
        let (pickle, storages, length) = container::open(reader, foreign)?;
        Ok(Self { pickle, storages, length, foreign })
    }

    /// The saved object.
    pub fn root(&self) -> Value<'_> {
        Value { objects: &self.pickle.objects, index: self.pickle.root }
    }

    /// All tensors of a file that holds `{name: tensor}` and nothing else but empty dictionaries; of a
    /// checkpoint, also of its `state_dict`, which trainers save beside their own state, and of one in
    /// that, as diffusers reads it.
    ///
    /// # Errors
    ///
    /// [`TorchError`] if there is anything else in it, or if a tensor reaches out of its storage.
    pub fn state_dict(&self) -> Result<BTreeMap<String, StoredTensor>, TorchError> {
        let Pickle { objects, root, .. } = &self.pickle;
        let entries = objects.entries(*root);
        // AUTOMATIC1111's and the original code's form, and a tensor alone
        if entries.contains_key("string_to_param") || self.root().is_tensor() {
            return Err(TorchError::Embedding);
        }
        let inner = |dict: &Index| objects.entries(*dict).get("state_dict").copied();
        let deepest = if self.foreign == Foreign::Skipped { DEEPEST } else { 1 };
        let dict = successors(Some(*root), inner).take(deepest).last();
        let Object::Dict(pairs) = objects.get(dict.unwrap_or(*root)) else {
            return Err(TorchError::NoDictionary);
        };
        let tensor = |(key, index): &(Index, Index)| {
            let name = objects.text(*key).ok_or(TorchError::NoDictionary)?;
            if name.len() > LONGEST_NAME {
                return Err(TorchError::Pickle("a name of over 256 bytes"));
            }
            let value = Value { objects, index: *index };
            if !value.is_tensor() {
                return Err(TorchError::NoTensor(name.into()));
            }
            let tensor = self.tensor(value).map_err(|error| match error {
                TorchError::Pickle(reason) => TorchError::Tensor { name: name.into(), reason },
                other => other,
            })?;
            Ok((name.to_owned(), tensor))
        };
        let (mut tensors, longest) = (BTreeMap::new(), longest(self.length));
        let (mut bytes, mut read) = (0_u64, 0_u64);
        // diffusers leaves an empty dictionary for each attention that Custom Diffusion did not change
        let is_empty =
            |value: Index| matches!(objects.get(value), Object::Dict(all) if all.is_empty());
        for pair in pairs.iter().filter(|(_, value)| !is_empty(*value)) {
            let (name, tensor) = tensor(pair)?;
            bytes = bytes.saturating_add(tensor.byte_len() as u64);
            read = read.saturating_add(tensor.read_len() as u64);
            if bytes > LONGEST_SHARED * longest || read > MOST_READ * longest {
                return Err(TorchError::TooLarge);
            }
            tensors.insert(name, tensor);
        }
        Ok(tensors)
    }

    /// The tensor that a value of this file is.
    ///
    /// # Errors
    ///
    /// [`TorchError`] if it is none, or reaches out of its storage.
    pub fn tensor(&self, value: Value<'_>) -> Result<StoredTensor, TorchError> {
        StoredTensor::new(value, &self.storages, self.length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A tensor that repeats one number for 1 MiB.
    const TENSOR: &[u8] =
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n\
        X\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0J\0\0\x04\0\x85K\0\x85\x89)tR";

    /// A file of that number, with this pickle.
    fn file(saved: &[u8]) -> Vec<u8> {
        file_of(saved, &[1.0])
    }

    /// A file of these numbers.
    fn file_of(saved: &[u8], values: &[f32]) -> Vec<u8> {
        let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.M\xe9\x03.}.";
        let count = (values.len() as u64).to_le_bytes();
        let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        [&magic[..], saved, b".]X\x01\0\0\x000a.", &count, &values].concat()
    }

    /// A file whose tensors all repeat the one number.
    fn repeated(names: std::ops::Range<char>) -> Vec<u8> {
        let mut saved = [b"}X\x01\0\0\0a", TENSOR, b"q\0s"].concat();
        for name in names {
            saved.extend([b"X\x01\0\0\0", &[name as u8][..], b"h\0s"].concat());
        }
        file(&saved)
    }

    #[test]
    fn tensors_that_repeat_a_storage_may_ask_for_no_more_than_their_file_explains() {
        let tensors = |names| {
            let file = TorchFile::open(&mut Cursor::new(repeated(names))).unwrap();
            file.state_dict().map(|tensors| tensors.len())
        };
        assert_eq!(tensors('b'..'e').unwrap(), 4);
        assert!(matches!(tensors('b'..'f'), Err(TorchError::TooLarge)));
    }

    #[test]
    fn tensors_of_far_values_may_read_no_more_than_their_file_explains() {
        // the first and the last of 16,384 numbers, which are 64 KiB
        const FAR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage\
            ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0K\x02\x85M\xff\x3f\x85\x89)tR";
        let tensors = |count: usize| {
            let mut saved = [FAR, b"q\x000}"].concat();
            for number in 0..count {
                saved.extend([b"X\x04\0\0\0", format!("{number:04}").as_bytes(), b"h\0s"].concat());
            }
            let bytes = file_of(&saved, &[1.0; 16_384]);
            let file = TorchFile::open(&mut Cursor::new(bytes)).unwrap();
            file.state_dict().map(|tensors| tensors.len())
        };
        assert_eq!(tensors(1600).unwrap(), 1600, "of 64 KiB are 100 MiB");
        assert!(matches!(tensors(1601), Err(TorchError::TooLarge)));
    }

    #[test]
    fn a_checkpoints_tensors_are_found_in_a_dictionary_within_another() {
        const INNER: &[u8] = b"}X\x0a\0\0\0state_dict";
        let tensor = [b"X\x01\0\0\0a", TENSOR, b"s"].concat();
        let nested = file(&[INNER, INNER, b"}", &tensor[..], b"ss"].concat());
        let names = |bytes: &[u8]| {
            let file = TorchFile::open_checkpoint(&mut Cursor::new(bytes)).unwrap();
            file.state_dict().map(|tensors| tensors.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(names(&nested).unwrap(), ["a"]);
        let plain = TorchFile::open(&mut Cursor::new(&nested)).unwrap().state_dict();
        assert!(matches!(plain, Err(TorchError::NoTensor(name)) if name == "state_dict"));
        // a dictionary that holds itself
        let endless = file(&[b"}q\0", &INNER[1..], b"h\0s", &tensor[..]].concat());
        assert!(matches!(names(&endless), Err(TorchError::NoTensor(name)) if name == "state_dict"));
    }

    #[test]
    fn a_list_of_tensors_is_told_from_anything_else() {
        let listed = |saved: &[&[u8]]| {
            let file = TorchFile::open(&mut Cursor::new(file(&saved.concat()))).unwrap();
            file.root().tensors_in_list()
        };
        assert_eq!(listed(&[b"](", TENSOR, TENSOR, b"e"]), Some(2));
        assert_eq!(listed(&[b"](", TENSOR, b"K\0e"]), None);
        assert_eq!(listed(&[TENSOR]), None);
    }
}
