//! The containers of `torch.save`, which `dvar_models` reads without running them.

use std::io::{Read, Seek};

use dvar_models::weights::torch::{TorchError, TorchFile, Value};

use super::{
    super::FileProblem,
    contents::{Contents, Rows, size},
    names::{CHECKPOINT, LORA, Meaning, meaning},
};
use crate::tensor::{float_type, floats};

/// Finds the tensors of diffusers' `{token: tensor}` or AUTOMATIC1111's `{string_to_param: ..}`; a
/// file may also be one tensor and nothing else.
pub(super) fn contents(reader: &mut (impl Read + Seek)) -> Result<Contents, FileProblem> {
    let file = TorchFile::open(reader)?;
    if file.root().is_tensor() {
        let bare = Meaning { token: None, tensors: vec![(None, String::new())] };
        return Contents::gather(bare, |_| rows(&file, file.root(), reader));
    }
    if let Some(count) = file.root().tensors_in_list() {
        return Err(FileProblem::OtherKind { kind: LORA, count });
    }
    let saved = file.root().entries();
    if let Some(state) = saved.get("state_dict") {
        let count = state.entries().len();
        return Err(FileProblem::OtherKind { kind: CHECKPOINT, count });
    }
    let params = saved.get("string_to_param").map(|params| params.entries());
    let entries = params.as_ref().unwrap_or(&saved);
    let tensors = entries.iter().filter(|(_, value)| value.is_tensor()).map(|(key, _)| *key);
    let mut meaning = meaning(tensors.collect())?;
    if params.is_some() {
        // The key is `*` there, and the name its own entry.
        let name = saved.get("name").and_then(|name| name.text());
        meaning.token = name.filter(|name| !name.trim().is_empty()).map(str::to_owned);
    }
    Contents::gather(meaning, |name| rows(&file, entries[name], reader))
}

fn rows(
    file: &TorchFile,
    value: Value<'_>,
    reader: &mut (impl Read + Seek),
) -> Result<Rows, FileProblem> {
    let tensor = file.tensor(value)?;
    let (count, dim) = size(tensor.shape())?;
    let dtype = float_type(tensor.dtype())
        .ok_or_else(|| FileProblem::Element(format!("{:?}", tensor.dtype())))?;
    let bytes = tensor.read(reader)?;
    let values = floats(dtype, &bytes).ok_or_else(|| FileProblem::Element(format!("{dtype:?}")))?;
    Ok(Rows { values, count, dim })
}

impl From<TorchError> for FileProblem {
    fn from(error: TorchError) -> Self {
        match error {
            TorchError::Container => Self::UnknownContainer,
            TorchError::Zip(reason) => Self::Zip(reason),
            TorchError::Io(error) => Self::Zip(error.to_string()),
            TorchError::Repacked => Self::Zip("it was packed again".into()),
            TorchError::Pickle(reason) | TorchError::Tensor { reason, .. } => Self::Pickle(reason),
            TorchError::NoDictionary | TorchError::NoTensor(_) | TorchError::Embedding => {
                Self::NoTensor
            }
            TorchError::ForeignGlobal(name) => Self::ForeignGlobal(name),
            TorchError::Type => Self::Element("fp8 or another type that is not read".into()),
            TorchError::BigEndian => Self::Element("big-endian numbers".into()),
            TorchError::TooLarge => Self::TooLarge,
        }
    }
}
