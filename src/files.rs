//! Files that are read up to a limit, and those that are whole at every instant.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

pub use dvar_callbacks::files::write_atomic;

/// Reads a file, but at most `limit + 1` bytes of it: more than `limit` bytes say that it is
/// longer, and a wrong file of any size costs no more.
///
/// # Errors
/// If the file cannot be opened or read.
pub fn read_limited(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_read_one_byte_past_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        write_atomic(&path, &[7; 100]).unwrap();
        assert_eq!(read_limited(&path, 10).unwrap(), [7; 11]);
        assert_eq!(read_limited(&path, 100).unwrap(), [7; 100]);
    }
}
