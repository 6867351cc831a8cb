//! The tensors of a file on the host, in f32.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
};

use burn::tensor::DType;
use dvar_models::weights::{other_content, safetensors_header, torch::TorchFile};
use safetensors::Dtype;

use crate::tensor::{float_type, floats};

/// What is said of cloneofsimo's LoRAs: which layer has which number, only the package that made them knows.
pub(super) const NUMBERED: &str = "it numbers the layers that it changes and does not name them, as cloneofsimo's LoRAs do; \
     merge it into its model with that package's `lora_add MODEL FILE FOLDER 1.0 --mode upl`, and \
     give the folder as the model";

/// Shapes and values by name, and what the file says of itself.
pub(super) struct Stored {
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    pub metadata: BTreeMap<String, String>,
}

/// Checks the names of all tensors of a file.
type CheckNames<'a> = &'a mut dyn FnMut(&[&str]) -> Result<(), String>;

impl Stored {
    /// Reads a safetensors file or one of PyTorch, in which nothing is run. `check` gets the names before any
    /// value is read: a file of any size, such as a whole model, may be given by mistake.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that fit after the file's name; those of `check`.
    pub fn read(reader: &mut (impl Read + Seek), check: CheckNames<'_>) -> Result<Self, String> {
        let mut head = Vec::new();
        let begun = reader.rewind().and_then(|()| reader.by_ref().take(256).read_to_end(&mut head));
        begun.map_err(|error| error.to_string())?;
        // no PyTorch file has a brace there, where the header of safetensors begins
        if head.get(8) == Some(&b'{') {
            return Self::of_safetensors(reader, check);
        }
        if head.starts_with(b"PK") || head.starts_with(b"\x80") {
            return Self::of_torch(reader, check);
        }
        match other_content(&head) {
            Some(what) => Err(what.into()),
            None => Self::of_safetensors(reader, check),
        }
    }

    fn of_safetensors(
        reader: &mut (impl Read + Seek),
        check: CheckNames<'_>,
    ) -> Result<Self, String> {
        let (header, begin) = safetensors_header(&mut *reader)?;
        let stored: BTreeMap<_, _> = header.tensors().into_iter().collect();
        check(&stored.keys().map(String::as_str).collect::<Vec<_>>())?;
        let tensors = stored.into_iter().map(|(name, info)| {
            let (start, end) = info.data_offsets;
            let mut bytes = vec![0; end - start];
            let read = reader.seek(SeekFrom::Start(begin + start as u64));
            let read = read.and_then(|_| reader.read_exact(&mut bytes));
            read.map_err(|error| error.to_string())?;
            let values = numbers(info.dtype, &bytes);
            let values = values.ok_or_else(|| no_floats(&name, &info.dtype))?;
            Ok((name, (info.shape.clone(), values)))
        });
        Ok(Self {
            tensors: tensors.collect::<Result<_, String>>()?,
            metadata: header.metadata().clone().unwrap_or_default().into_iter().collect(),
        })
    }

    fn of_torch(reader: &mut (impl Read + Seek), check: CheckNames<'_>) -> Result<Self, String> {
        let file = TorchFile::open(reader).map_err(|error| error.to_string())?;
        if file.root().tensors_in_list().is_some() {
            return Err(NUMBERED.into());
        }
        let stored = file.state_dict().map_err(|error| error.to_string())?;
        check(&stored.keys().map(String::as_str).collect::<Vec<_>>())?;
        let tensors = stored.into_iter().map(|(name, tensor)| {
            let dtype = match tensor.dtype() {
                DType::I64 => Some(Dtype::I64),
                other => float_type(other),
            };
            let dtype = dtype.ok_or_else(|| no_floats(&name, &tensor.dtype()))?;
            let bytes = tensor.read(reader).map_err(|error| error.to_string())?;
            let values = numbers(dtype, &bytes).unwrap_or_default();
            Ok((name, (tensor.shape().to_vec(), values)))
        });
        Ok(Self { tensors: tensors.collect::<Result<_, String>>()?, metadata: BTreeMap::new() })
    }
}

fn no_floats(name: &str, kind: &dyn std::fmt::Debug) -> String {
    format!("`{name}` is stored as {kind:?}; save it again in f32, f16 or bf16")
}

/// Stored numbers as f32; whole ones too, as which diffusers' converter to sd-scripts' names and
/// sd-scripts' `svd_merge_lora.py` write alpha.
fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    if dtype != Dtype::I64 {
        return floats(dtype, bytes);
    }
    let whole = bytes.as_chunks::<8>().0.iter();
    Some(whole.map(|number| i64::from_le_bytes(*number) as f32).collect())
}
