//! The container of a `.wandb` file: LevelDB's log format, with the checksum of zlib.
//!
//! The file is cut into blocks of 32 KiB, of which the first begins with 7 bytes of W&B's own. A
//! record is one chunk or, where a block ends within it, several; a chunk is checksum, length,
//! type, content. What is left of a block with no room for a chunk's header is zero.

/// `:W&B`, a magic number, a version.
pub(super) const FILE_HEADER: [u8; 7] = *b":W&B\xe1\xbe\x00";

const BLOCK: usize = 32 * 1024;
/// Checksum, length, type.
const CHUNK_HEADER: usize = 4 + 2 + 1;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// The bytes that add `record` to a file of `offset` bytes.
pub(super) fn chunks(record: &[u8], offset: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(record.len() + 2 * CHUNK_HEADER);
    let mut room = BLOCK - (offset % BLOCK as u64) as usize;
    let (mut rest, mut first) = (record, true);
    loop {
        if room < CHUNK_HEADER {
            bytes.resize(bytes.len() + room, 0);
            room = BLOCK;
        }
        let (content, after) = rest.split_at(rest.len().min(room - CHUNK_HEADER));
        let kind = match (first, after.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        bytes.extend(checksum(kind, content).to_le_bytes());
        bytes.extend((content.len() as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend(content);
        if after.is_empty() {
            return bytes;
        }
        room -= CHUNK_HEADER + content.len();
        (rest, first) = (after, false);
    }
}

/// The whole records of a file, each with the offset behind it; ends where the file is cut off or
/// broken.
pub(super) fn records(file: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let start = if file.starts_with(&FILE_HEADER) { FILE_HEADER.len() } else { file.len() };
    std::iter::successors(record_at(file, start), |(end, _)| record_at(file, *end))
}

fn record_at(file: &[u8], mut offset: usize) -> Option<(usize, Vec<u8>)> {
    let (mut record, mut continues) = (Vec::new(), false);
    loop {
        let room = BLOCK - offset % BLOCK;
        if room < CHUNK_HEADER {
            offset += room;
        }
        let (header, rest) = file.get(offset..)?.split_first_chunk::<CHUNK_HEADER>()?;
        let [a, b, c, d, low, high, kind] = *header;
        let content = rest.get(..u16::from_le_bytes([low, high]).into())?;
        if continues != matches!(kind, MIDDLE | LAST)
            || u32::from_le_bytes([a, b, c, d]) != checksum(kind, content)
        {
            return None;
        }
        record.extend(content);
        offset += CHUNK_HEADER + content.len();
        if matches!(kind, FULL | LAST) {
            return Some((offset, record));
        }
        continues = true;
    }
}

fn checksum(kind: u8, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(records: &[Vec<u8>]) -> Vec<u8> {
        let mut file = FILE_HEADER.to_vec();
        for record in records {
            file.extend(chunks(record, file.len() as u64));
        }
        file
    }

    /// `zlib.crc32(b"\x01" + b"abc")` of Python.
    #[test]
    fn a_short_record_is_one_whole_chunk() {
        let want = [&0x539d_20a9_u32.to_le_bytes()[..], &[3, 0, FULL], b"abc"].concat();
        assert_eq!(chunks(b"abc", 7), want);
    }

    #[test]
    fn a_record_longer_than_a_block_is_cut_where_blocks_end() {
        let bytes = chunks(&vec![5; 70_000], 7);
        let kind = |offset: usize| bytes[offset - 7 + 6];
        assert_eq!((kind(7), kind(BLOCK), kind(2 * BLOCK)), (FIRST, MIDDLE, LAST));
        assert_eq!(bytes.len(), 70_000 + 3 * CHUNK_HEADER);
    }

    #[test]
    fn the_end_of_a_block_too_short_for_a_header_is_zero() {
        for left in 1..CHUNK_HEADER {
            let bytes = chunks(b"abc", (BLOCK - left) as u64);
            assert!(bytes[..left].iter().all(|byte| *byte == 0));
            assert_eq!(bytes[left..], chunks(b"abc", 0));
        }
        // with room for the header alone, the first chunk is empty
        let bytes = chunks(b"abc", (BLOCK - CHUNK_HEADER) as u64);
        assert_eq!((bytes[6], bytes[CHUNK_HEADER + 6]), (FIRST, LAST));
    }

    #[test]
    fn records_of_any_length_come_back_and_a_cut_off_or_broken_one_ends_the_file() {
        // the third ends 7 bytes before its block, so that the fourth begins with an empty chunk
        let lengths = [1, 5, 32_720, 40, 9, 3, 100_000, 32_768, 12];
        let want: Vec<Vec<u8>> = lengths.iter().map(|n| vec![*n as u8 | 1; *n]).collect();
        let whole = file(&want);
        let got: Vec<_> = records(&whole).collect();
        assert_eq!(got.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>(), want);
        assert_eq!(got.last().unwrap().0, whole.len());
        assert_eq!(records(&whole[..whole.len() - 1]).count(), lengths.len() - 1);
        let mut broken = whole.clone();
        broken[got[2].0 + CHUNK_HEADER] ^= 1;
        assert_eq!(records(&broken).count(), 3);
        assert_eq!(records(b"not such a file at all").count(), 0);
    }
}
