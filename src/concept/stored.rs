//! The tensors of a file on the host, in f32.

use std::{collections::BTreeMap, io::Cursor};

use burn::tensor::DType;
use dvar_models::weights::{other_content, torch::TorchFile};
use safetensors::{Dtype, SafeTensors};

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

impl Stored {
    /// Reads a safetensors file or one of PyTorch, in which nothing is run.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that fit after the file's name.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let no_floats = |name: &str, kind: &dyn std::fmt::Debug| {
            format!("`{name}` is stored as {kind:?}; save it again in f32, f16 or bf16")
        };
        // no PyTorch file has a brace there, where the header of safetensors begins
        let is_safetensors = bytes.get(8) == Some(&b'{');
        if !is_safetensors && (bytes.starts_with(b"PK") || bytes.starts_with(b"\x80")) {
            let mut reader = Cursor::new(bytes);
            let file = TorchFile::open(&mut reader).map_err(|error| error.to_string())?;
            if file.root().tensors_in_list().is_some() {
                return Err(NUMBERED.into());
            }
            let saved = file.state_dict().map_err(|error| error.to_string())?;
            let tensors = saved.into_iter().map(|(name, tensor)| {
                let stored = match tensor.dtype() {
                    DType::I64 => Some(Dtype::I64),
                    other => float_type(other),
                };
                let stored = stored.ok_or_else(|| no_floats(&name, &tensor.dtype()))?;
                let bytes = tensor.read(&mut reader).map_err(|error| error.to_string())?;
                let values = numbers(stored, &bytes).unwrap_or_default();
                Ok((name, (tensor.shape().to_vec(), values)))
            });
            return Ok(Self {
                tensors: tensors.collect::<Result<_, String>>()?,
                metadata: BTreeMap::new(),
            });
        }
        if let Some(what) = other_content(bytes).filter(|_| !is_safetensors) {
            return Err(what.into());
        }
        let damaged = |error: safetensors::SafeTensorError| {
            format!("it is damaged, cut off or no safetensors file ({error}); fetch it again")
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let tensors = file.tensors().into_iter().map(|(name, view)| {
            let values = numbers(view.dtype(), view.data());
            let values = values.ok_or_else(|| no_floats(&name, &view.dtype()))?;
            Ok((name, (view.shape().to_vec(), values)))
        });
        Ok(Self {
            tensors: tensors.collect::<Result<_, String>>()?,
            metadata: header.metadata().clone().unwrap_or_default().into_iter().collect(),
        })
    }
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
