//! The containers of `torch.save`: a zip archive of a pickle and one file per storage, or, before
//! PyTorch 1.6, five pickles in a row and then the storages.

use std::{
    collections::HashMap,
    io::{Read, Seek, SeekFrom},
};

use burn::tensor::DType;
use zip::{CompressionMethod, ZipArchive};

use super::{
    TorchError,
    objects::{Foreign, Object},
    pickle::{self, Pickle},
};

/// The first pickle of the older container: protocol 2 and `torch.serialization.MAGIC_NUMBER`.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// How a file of either begins.
pub(in crate::weights) const MAGIC: [&[u8]; 2] = [ZIP_MAGIC, LEGACY_MAGIC];

const CUT_OFF: TorchError = TorchError::Pickle("a storage is cut off");

/// Where the bytes of each storage lie, by its key.
pub(super) type Places = HashMap<String, Place>;

/// A range that lies within the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    start: u64,
    pub length: u64,
    /// CRC-32 of all of it, where the file tells one.
    checksum: Option<u32>,
}

impl Place {
    /// Reads `length` bytes from `offset` on; both must lie within the place.
    pub fn read(
        &self,
        reader: &mut (impl Read + Seek),
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, TorchError> {
        let mut bytes = vec![0; length];
        reader.seek(SeekFrom::Start(self.start + offset))?;
        reader.read_exact(&mut bytes)?;
        match self.checksum {
            Some(checksum)
                if length as u64 == self.length && crc32fast::hash(&bytes) != checksum =>
            {
                Err(TorchError::Zip("a checksum does not fit".into()))
            }
            _ => Ok(bytes),
        }
    }
}

/// The object that was saved, the storages it uses, and the file's length.
pub(super) fn open(
    reader: &mut (impl Read + Seek),
    foreign: Foreign,
) -> Result<(Pickle, Places, u64), TorchError> {
    let length = reader.seek(SeekFrom::End(0))?;
    reader.rewind()?;
    let mut head = Vec::new();
    reader.take(LEGACY_MAGIC.len() as u64).read_to_end(&mut head)?;
    let (pickle, storages) = if head.starts_with(ZIP_MAGIC) {
        open_zip(reader, length, foreign)?
    } else if head == LEGACY_MAGIC {
        open_legacy(reader, length, foreign)?
    } else {
        return Err(TorchError::Container);
    };
    Ok((pickle, storages, length))
}

fn open_zip(
    reader: &mut (impl Read + Seek),
    length: u64,
    foreign: Foreign,
) -> Result<(Pickle, Places), TorchError> {
    let mut archive = ZipArchive::new(&mut *reader).map_err(damaged)?;
    let mut entries = HashMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        // Nothing is ever unpacked, so an archive is no larger than it seems.
        if entry.compression() != CompressionMethod::Stored
            || entry.encrypted()
            || entry.compressed_size() != entry.size()
        {
            return Err(TorchError::Repacked);
        }
        let start = entry.data_start().ok_or_else(|| damaged("an entry without a place"))?;
        if start.checked_add(entry.size()).is_none_or(|end| end > length) {
            return Err(damaged("an entry reaches out of the file"));
        }
        // `torch.save` can leave checksums out, which are zeros then.
        let checksum = Some(entry.crc32()).filter(|checksum| *checksum != 0);
        let name = entry.name().map_err(damaged)?.into_owned();
        entries.insert(name, Place { start, length: entry.size(), checksum });
    }
    let entries = in_folder(&entries)?;
    let mut content = |name: &str, limit: usize| match entries.get(name) {
        Some(place) if place.length > limit as u64 => Err(damaged(format!("`{name}` is too long"))),
        Some(place) => place.read(&mut *reader, 0, place.length as usize).map(Some),
        None => Ok(None),
    };
    if content("byteorder", 8)?.is_some_and(|order| order != b"little") {
        return Err(TorchError::BigEndian);
    }
    let bytes = content("data.pkl", pickle::MAX_BYTES)?.ok_or(TorchError::Container)?;
    let pickle = pickle::load(&bytes, foreign)?;
    let place = |key: &str| Some((key.to_owned(), *entries.get(&*format!("data/{key}"))?));
    let storages = pickle.objects.storages().filter_map(|(key, _)| place(key)).collect();
    Ok((pickle, storages))
}

/// What lies in the pickle's folder, by its name there: the folder's own may be long, and a pickle can name a
/// storage again and again.
fn in_folder(entries: &HashMap<String, Place>) -> Result<HashMap<&str, Place>, TorchError> {
    let is_pickle = |name: &&String| name.ends_with("/data.pkl");
    // The shortest, so that it is the archive's own and not one inside another folder of it.
    let name = entries.keys().filter(is_pickle).min_by_key(|name| (name.len(), *name));
    let folder = name.and_then(|name| name.strip_suffix("data.pkl"));
    let folder = folder.ok_or(TorchError::Container)?;
    let inside = entries.iter();
    Ok(inside.filter_map(|(name, place)| Some((name.strip_prefix(folder)?, *place))).collect())
}

fn damaged(error: impl ToString) -> TorchError {
    TorchError::Zip(error.to_string())
}

fn open_legacy(
    reader: &mut (impl Read + Seek),
    length: u64,
    foreign: Foreign,
) -> Result<(Pickle, Places), TorchError> {
    let mut head = Vec::new();
    // The reader stands behind the magic number.
    reader.take(2 * pickle::MAX_BYTES as u64).read_to_end(&mut head)?;
    let mut rest = &head[..];
    let mut next = || {
        let pickle = pickle::load(rest, foreign)?;
        rest = &rest[pickle.length..];
        Ok::<_, TorchError>(pickle)
    };
    // The protocol version and the sizes of C types come before the object, the keys of the
    // storages in their order after it.
    let (_, system, saved, keys) = (next()?, next()?, next()?, next()?);
    let little_endian = system.objects.entries(system.root).get("little_endian").copied();
    if little_endian.is_some_and(|i| matches!(system.objects.get(i), Object::Boolean(false))) {
        return Err(TorchError::BigEndian);
    }
    let Object::List(in_order) = keys.objects.get(keys.root) else {
        return Err(TorchError::Pickle("the list of storages is missing"));
    };

    let types: HashMap<&str, DType> = saved.objects.storages().collect();
    let mut start = (LEGACY_MAGIC.len() + head.len() - rest.len()) as u64;
    let mut storages = HashMap::new();
    for key in in_order {
        let key = keys.objects.text(*key);
        let Some((key, dtype)) = key.and_then(|key| Some((key, types.get(key)?))) else {
            return Err(TorchError::Pickle("a storage that no tensor uses"));
        };
        // Each storage is its number of values and the values.
        let values = start.checked_add(8).filter(|values| *values <= length).ok_or(CUT_OFF)?;
        reader.seek(SeekFrom::Start(start))?;
        let mut count = [0; 8];
        reader.read_exact(&mut count)?;
        let size = u64::from_le_bytes(count).checked_mul(dtype.size() as u64).ok_or(CUT_OFF)?;
        start = values.checked_add(size).filter(|end| *end <= length).ok_or(CUT_OFF)?;
        let place = Place { start: values, length: size, checksum: None };
        storages.insert(key.to_owned(), place);
    }
    Ok((saved, storages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zips_entries_are_called_without_their_folder_however_long_its_name_is() {
        let folder = "a".repeat(60_000);
        let entry = |(name, length): (&str, u64)| {
            (format!("{folder}/{name}"), Place { start: 0, length, checksum: None })
        };
        let mut entries: HashMap<String, Place> =
            [("data.pkl", 1), ("data/0", 2), ("inner/data.pkl", 3)].map(entry).into();
        entries.insert("beside".into(), Place { start: 0, length: 4, checksum: None });
        let mut inside: Vec<_> = in_folder(&entries).unwrap().into_iter().collect();
        inside.sort_by_key(|(name, _)| *name);
        let inside: Vec<_> = inside.iter().map(|(name, place)| (*name, place.length)).collect();
        assert_eq!(inside, [("data.pkl", 1), ("data/0", 2), ("inner/data.pkl", 3)]);
    }
}
