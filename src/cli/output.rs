//! Folders that commands write to: each command's own, whatever runs beside it.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::CliError;
use crate::files::write_atomic;

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    write_atomic(path, bytes).map_err(|error| CliError::write(path, error))
}

/// Creates the folder that the user named, which must not exist yet or be empty, or else the
/// first of `default`, `default-2`, ... that does not exist.
pub(super) fn free_folder(
    named: Option<&Path>,
    default: impl FnOnce() -> PathBuf,
) -> Result<PathBuf, CliError> {
    match named {
        Some(folder) => named_folder(folder),
        None => numbered_folder(default()),
    }
}

fn named_folder(folder: &Path) -> Result<PathBuf, CliError> {
    match is_free(folder) {
        Ok(true) => {}
        Ok(false) => return Err(refused(folder, "exists and is not empty")),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(refused(folder, "is a file or lies below one"));
        }
        Err(error) => return Err(refused(folder, &format!("cannot be read ({error})"))),
    }
    let created = fs::create_dir_all(folder);
    created.map_err(|error| refused(folder, &format!("cannot be created ({error})")))?;
    Ok(folder.to_path_buf())
}

/// To create a folder is to take it: of two processes, one is told that it exists.
fn numbered_folder(first: PathBuf) -> Result<PathBuf, CliError> {
    let cannot = |error| refused(&first, &format!("cannot be created ({error})"));
    if let Some(parent) = first.parent() {
        fs::create_dir_all(parent).map_err(cannot)?;
    }
    let (mut folder, mut number) = (first.clone(), 1);
    loop {
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(error)),
        }
        number += 1;
        folder = PathBuf::from(format!("{}-{number}", first.display()));
    }
}

/// Refuses an output folder.
pub(super) fn refused(folder: &Path, what: &str) -> CliError {
    CliError::Input(format!(
        "the output folder `{}` {what}; choose another one with `--output-dir`",
        folder.display()
    ))
}

/// Whether nothing lies there, but for the beginnings of files that a kill left.
fn is_free(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.try_fold(true, |free, entry| {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            Ok(free && name.starts_with('.') && name.contains(".tmp-"))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Writes a file that must not exist yet, whole or not at all: of two processes, one is told that
/// it exists.
pub(super) fn write_new(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    // a name that `is_free` overlooks
    let whole = folder.join(format!(".{name}.tmp-{process}-{count}"));
    write_atomic(&whole, bytes)?;
    let file = folder.join(name);
    let linked = fs::hard_link(&whole, &file).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Err(error),
        // a file system without hard links
        _ => fs::File::create_new(&file)?.write_all(bytes),
    });
    // it has done its work, or could not
    let _ = fs::remove_file(&whole);
    linked
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::*;

    /// What each of many threads gives that begin at once.
    fn at_once<T: Send>(take: impl Fn() -> T + Sync) -> Vec<T> {
        let start = std::sync::Barrier::new(16);
        thread::scope(|scope| {
            let take = || {
                start.wait();
                take()
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn no_two_take_one_default_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let default = || scratch.path().join("runs/cat");
        let taken = at_once(|| free_folder(None, default).unwrap());
        assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), 16);
    }

    #[test]
    fn of_many_that_write_one_new_file_one_succeeds() {
        let scratch = tempfile::tempdir().unwrap();
        let written = at_once(|| write_new(scratch.path(), "config.toml", b"seed = 1\n"));
        let (one, others): (Vec<_>, Vec<_>) = written.into_iter().partition(Result::is_ok);
        assert_eq!(one.len(), 1);
        let kinds = others.into_iter().map(|error| error.unwrap_err().kind());
        assert!(kinds.into_iter().all(|kind| kind == io::ErrorKind::AlreadyExists));
        let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(fs::read(scratch.path().join("config.toml")).unwrap(), b"seed = 1\n");
    }

    #[test]
    fn what_a_kill_left_does_not_occupy_a_folder() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join(".config.toml.tmp-7-0"), "seed").unwrap();
        assert!(free_folder(Some(scratch.path()), PathBuf::new).is_ok());
        fs::write(scratch.path().join("config.toml"), "seed = 1").unwrap();
        assert!(free_folder(Some(scratch.path()), PathBuf::new).is_err());
    }
}
