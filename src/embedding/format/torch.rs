//! The containers of `torch.save`, which `dvar_models` reads without running them.

use std::io::Cursor;

use dvar_models::weights::torch::{TorchError, TorchFile};

use super::{Element, FileProblem, Found, only_key, rows, token_of};

/// Finds the tensor of diffusers' `{token: tensor}` or AUTOMATIC1111's `{string_to_param: ..}`.
pub(super) fn find(bytes: &[u8]) -> Result<Found, FileProblem> {
    let mut reader = Cursor::new(bytes);
    let file = TorchFile::open(&mut reader)?;
    let saved = file.root().entries();
    let params = saved.get("string_to_param").map(|params| params.entries());
    let entries = params.as_ref().unwrap_or(&saved);
    let tensors = entries.iter().filter(|(_, value)| value.is_tensor()).map(|(key, _)| *key);
    let key = only_key(tensors.collect())?;
    let name = if params.is_some() {
        // The key is `*` there, and the name its own entry.
        let name = saved.get("name").and_then(|name| name.text());
        name.filter(|name| !name.is_empty()).map(str::to_owned)
    } else {
        token_of(key)
    };
    let tensor = file.tensor(entries[key])?;
    let size = rows(tensor.shape())?;
    let element = Element::try_from(tensor.dtype())?;
    let values = element.decode(&tensor.read(&mut reader)?);
    Ok(Found::single(name, values, size))
}

impl From<TorchError> for FileProblem {
    fn from(error: TorchError) -> Self {
        match error {
            TorchError::Container => Self::UnknownContainer,
            TorchError::Zip(reason) => Self::Zip(reason),
            TorchError::Io(error) => Self::Zip(error.to_string()),
            TorchError::Repacked => Self::Zip("it was packed again".into()),
            TorchError::Pickle(reason) | TorchError::Tensor { reason, .. } => Self::Pickle(reason),
            TorchError::NoDictionary | TorchError::NoTensor(_) => Self::NoTensor,
            TorchError::ForeignGlobal(name) => Self::ForeignGlobal(name),
            TorchError::BigEndian => Self::Element("big-endian numbers".into()),
            TorchError::TooLarge => Self::TooLarge,
        }
    }
}
