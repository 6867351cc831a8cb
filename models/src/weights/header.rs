//! A safetensors file's header, checked before anything is read or allocated by it.

use std::io::{Read, Seek, SeekFrom};

use safetensors::tensor::Metadata;

/// The format's own limit (safetensors crate).
const LARGEST_HEADER: u64 = 100_000_000;

/// Checks that `file` is a whole safetensors file.
///
/// # Errors
///
/// A phrase that fits after "`file` is not usable: ".
pub(super) fn check(mut file: impl Read + Seek) -> Result<(), String> {
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
    let expected = 8 + size + metadata.data_len() as u64;
    if expected != length {
        return Err(format!(
            "it should have {expected} bytes and has {length}; it is cut off, fetch it again"
        ));
    }
    Ok(())
}
