//! The containers of `torch.save`: a zip archive of a pickle and one file per storage, or, before
//! PyTorch 1.6, five pickles in a row and then the storages.

use std::{
    collections::HashMap,
    io::{Cursor, Read},
};

use zip::ZipArchive;

use super::{
    Element, FileProblem, Found, MAX_FILE_BYTES,
    objects::{Index, Object, Objects},
    only_key,
    pickle::{self, Pickle},
    rows, token_of,
};

/// The first pickle of the older container: protocol 2 and `torch.serialization.MAGIC_NUMBER`.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(LEGACY_MAGIC)
}

pub(super) fn find_in_zip(bytes: &[u8]) -> Result<Found, FileProblem> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let folder = archive
        .file_names()
        .find_map(|name| Some(name.ok()?.strip_suffix("data.pkl")?.to_owned()))
        .filter(|folder| folder.ends_with('/'))
        .ok_or(FileProblem::UnknownContainer)?;
    if let Some(order) = archive.index_for_name(&format!("{folder}byteorder"))
        && entry(&mut archive, order, 8)? == b"big"
    {
        return Err(FileProblem::Element("big-endian numbers".into()));
    }
    let mut named = |name: &str, limit: usize| {
        let index = archive.index_for_name(&format!("{folder}{name}"));
        entry(&mut archive, index.ok_or(MISSING)?, limit)
    };
    let pickle = pickle::load(&named("data.pkl", pickle::MAX_BYTES)?)?;
    find(&pickle, |key| named(&format!("data/{key}"), MAX_FILE_BYTES))
}

fn entry(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    limit: usize,
) -> Result<Vec<u8>, FileProblem> {
    let file = archive.by_index(index).map_err(damaged)?;
    let mut content = Vec::new();
    file.take(limit as u64).read_to_end(&mut content).map_err(damaged)?;
    Ok(content)
}

fn damaged(error: impl ToString) -> FileProblem {
    FileProblem::Zip(error.to_string())
}

pub(super) fn find_in_legacy(bytes: &[u8]) -> Result<Found, FileProblem> {
    let mut rest = &bytes[LEGACY_MAGIC.len()..];
    let mut next = || {
        let pickle = pickle::load(rest)?;
        rest = &rest[pickle.length..];
        Ok::<_, FileProblem>(pickle)
    };
    // The protocol version and the sizes of C types come before the object, the keys of the
    // storages in their order after it.
    let (_, _, saved, keys) = (next()?, next()?, next()?, next()?);
    let Object::List(keys_in_order) = keys.objects.get(keys.root) else {
        return Err(FileProblem::Pickle("the list of storages is missing"));
    };
    find(&saved, |wanted| {
        let elements: HashMap<&str, Element> = saved.objects.storages().collect();
        let mut rest = rest;
        for key in keys_in_order.iter().filter_map(|key| keys.objects.text(*key)) {
            // Each storage is its number of values and the values.
            let (count, behind) = rest.split_first_chunk().ok_or(CUT_OFF)?;
            let count = usize::try_from(u64::from_le_bytes(*count)).ok();
            let element = elements.get(key).ok_or(MISSING)?;
            let size = count.and_then(|count| count.checked_mul(element.size())).ok_or(CUT_OFF)?;
            let (values, behind) = behind.split_at_checked(size).ok_or(CUT_OFF)?;
            if key == wanted {
                return Ok(values.to_vec());
            }
            rest = behind;
        }
        Err(MISSING)
    })
}

const CUT_OFF: FileProblem = FileProblem::Pickle("a storage is cut off");
const MISSING: FileProblem = FileProblem::Pickle("a storage is missing");
const TENSOR: FileProblem = FileProblem::Pickle("a tensor of another form");

/// Finds the tensor of diffusers' `{token: tensor}` or AUTOMATIC1111's `{string_to_param: ..}`.
fn find(
    pickle: &Pickle,
    storage: impl FnOnce(&str) -> Result<Vec<u8>, FileProblem>,
) -> Result<Found, FileProblem> {
    let Pickle { objects, root, .. } = pickle;
    let saved = objects.entries(*root);
    let params = saved.get("string_to_param").map(|params| objects.entries(*params));
    let entries = params.as_ref().unwrap_or(&saved);
    let is_tensor = |index: Index| matches!(objects.get(index), Object::Tensor { .. });
    let tensors = entries.iter().filter(|(_, value)| is_tensor(**value)).map(|(key, _)| *key);
    let key = only_key(tensors.collect())?;
    let name = if params.is_some() {
        // The key is `*` there, and the name its own entry.
        let name = saved.get("name").and_then(|name| objects.text(*name));
        name.filter(|name| !name.is_empty()).map(str::to_owned)
    } else {
        token_of(key)
    };
    let (values, (num_vectors, dim)) = gather(objects, entries[key], storage)?;
    Ok(Found { name, values, num_vectors, dim })
}

/// The values of a tensor, row-major, and its `(num_vectors, dim)`.
fn gather(
    objects: &Objects,
    tensor: Index,
    storage: impl FnOnce(&str) -> Result<Vec<u8>, FileProblem>,
) -> Result<(Vec<f32>, (usize, usize)), FileProblem> {
    let Object::Tensor { storage: source, offset, shape, stride } = objects.get(tensor) else {
        return Err(TENSOR);
    };
    let Object::Storage { element, key } = objects.get(*source) else { return Err(TENSOR) };
    let key = objects.text(*key).ok_or(TENSOR)?;
    let offset = objects.size(*offset).ok_or(TENSOR)?;
    let shape = objects.sizes(*shape).ok_or(TENSOR)?;
    let (num_vectors, dim) = rows(&shape)?;
    let (row, column) = match objects.sizes(*stride).ok_or(TENSOR)?[..] {
        [column] if shape.len() == 1 => (0, column),
        [row, column] if shape.len() == 2 => (row, column),
        _ => return Err(TENSOR),
    };
    // A stride of 0 repeats values, so a short file can ask for any number of them.
    if num_vectors.checked_mul(dim).is_none_or(|count| count > MAX_FILE_BYTES / size_of::<f32>()) {
        return Err(FileProblem::TooLarge);
    }
    let stored = element.decode(&storage(key)?);
    let at = |index: usize| {
        let from_row = (index / dim).checked_mul(row)?;
        let from_column = (index % dim).checked_mul(column)?;
        stored.get(offset.checked_add(from_row)?.checked_add(from_column)?).copied()
    };
    let values = (0..num_vectors * dim).map(at).collect::<Option<_>>().ok_or(CUT_OFF)?;
    Ok((values, (num_vectors, dim)))
}
