//! Files that commands write, and those that no two processes write at once.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::CliError;
use crate::files::write_atomic;

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    write_atomic(path, bytes).map_err(|error| CliError::write(path, error))
}

/// Makes a folder for files, and those that it lies in, where they are not there.
pub(super) fn create_folder(path: &Path) -> Result<(), CliError> {
    fs::create_dir_all(path).map_err(|error| CliError::write(path, error))
}

/// Refuses a file of `--output` that exists already, or whose folder does not.
pub(super) fn check_new(path: &Path) -> Result<(), CliError> {
    if path.exists() {
        return Err(CliError::Input(format!(
            "`{}` exists already; choose another file with `--output`",
            path.display()
        )));
    }
    match path.parent() {
        Some(folder) if folder != Path::new("") && !folder.is_dir() => {
            Err(CliError::Input(format!(
                "there is no folder `{}` for `{}`; make it, or choose another file with `--output`",
                folder.display(),
                path.display()
            )))
        }
        _ => Ok(()),
    }
}

/// Writes a file that no other process writes now, and removes what a killed one had begun of it.
pub(super) fn write_alone(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    remove_begun_of(path)?;
    write(path, bytes)
}

/// Removes a file that no other process writes now, if it is there, and what a killed one had begun
/// of it.
pub(super) fn remove_alone(path: &Path) -> Result<(), CliError> {
    remove_begun_of(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CliError::write(path, error)),
        _ => Ok(()),
    }
}

fn remove_begun_of(path: &Path) -> Result<(), CliError> {
    let begun = format!(".{}.tmp-", path.file_name().unwrap_or_default().display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let removed = fs::read_dir(folder).and_then(|entries| {
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&begun) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    });
    removed.map_err(|error| CliError::write(folder, error))
}

/// Waits until no other process is in turn by this file, and is it until the file is closed; at once
/// where the file system knows no locks. A file, because NFS tells other machines of no lock of a folder.
pub(super) fn in_turn(path: &Path) -> Result<File, CliError> {
    let lock = open_lock(path).map_err(|error| CliError::write(path, error))?;
    // without locks, two that write the same tables at once write the same bytes
    let _ = lock.lock();
    Ok(lock)
}

/// Opens the file that a lock is of.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_in_turn_until_its_file_is_closed() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("tables.lock");
        let turn = in_turn(&file).unwrap();
        // as NFS wants it: open for writing
        let another = File::options().write(true).open(&file).unwrap();
        assert!(matches!(another.try_lock(), Err(fs::TryLockError::WouldBlock)));
        drop(turn);
        another.try_lock().unwrap();
    }

    #[test]
    fn a_file_goes_with_what_was_begun_of_it_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let file = |name: &str| scratch.path().join(name);
        for name in ["a.failed", ".a.failed.tmp-7", ".ba.failed.tmp-7"] {
            fs::write(file(name), "why").unwrap();
        }
        remove_alone(&file("a.failed")).unwrap();
        remove_alone(&file("a.failed")).unwrap();
        let left: Vec<_> =
            fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [".ba.failed.tmp-7"]);
    }
}
