//! The folder that a command writes to: its own, whatever runs beside it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{CliError, output::open_lock};

/// Creates the folder that the user named, which must not exist yet or be empty, or else the
/// first of `default`, `default-2`, ... that does not exist.
fn free_folder(
    named: Option<&Path>,
    default: impl FnOnce() -> PathBuf,
) -> Result<PathBuf, CliError> {
    match named {
        Some(folder) => named_folder(folder),
        None => numbered_folder(default()),
    }
}

/// Refuses a folder that the user named for the output and that is none or not empty: for a look before
/// anything slow. To take it is another step.
pub(super) fn check_free(folder: &Path) -> Result<(), CliError> {
    match is_free(folder) {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused(folder, "exists and is not empty")),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(refused(folder, "is a file or lies below one"))
        }
        Err(error) => Err(refused(folder, &format!("cannot be read ({error})"))),
    }
}

fn named_folder(folder: &Path) -> Result<PathBuf, CliError> {
    check_free(folder)?;
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

/// A folder that a command writes its files to, one after the other. Until it is done, no other
/// process takes the same; what a killed one had begun there is removed.
///
/// Where the file system knows no locks, two processes that begin at once can share a folder that
/// both were given by name.
#[derive(Debug)]
pub(super) struct OwnFolder {
    pub path: PathBuf,
    _lock: File,
}

impl OwnFolder {
    /// Takes a [`free_folder`].
    pub(super) fn new(
        named: Option<&Path>,
        default: impl FnOnce() -> PathBuf,
    ) -> Result<Self, CliError> {
        let path = free_folder(named, default)?;
        let folder = Self::lock(path.clone())?
            .ok_or_else(|| refused(&path, "is being written to by another process"))?;
        // another may have been here and gone since it was found free
        match is_free(&folder.path) {
            Ok(true) => Ok(folder),
            Ok(false) => Err(refused(&folder.path, "exists and is not empty")),
            Err(error) => Err(CliError::read(&folder.path, error)),
        }
    }

    /// Takes a folder that a command has written to before.
    pub(super) fn again(path: PathBuf) -> Result<Self, CliError> {
        Self::lock(path.clone())?.ok_or_else(|| {
            CliError::Input(format!(
                "`{}` is being written to by another process; wait until that has ended",
                path.display()
            ))
        })
    }

    /// The folder for this process; none if another has it.
    fn lock(path: PathBuf) -> Result<Option<Self>, CliError> {
        let lock = lockable(&path).map_err(|error| CliError::write(&path, error))?;
        if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
            return Ok(None);
        }
        let folder = Self { path, _lock: lock };
        remove_begun(&folder.path).map_err(|error| CliError::write(&folder.path, error))?;
        Ok(Some(folder))
    }

    /// Removes the folder, if it holds nothing else.
    pub(super) fn discard(&self) {
        remove_lock(&self.path);
        // nothing more can be done about a folder that will not go
        let _ = fs::remove_dir(&self.path);
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        remove_lock(&self.path);
    }
}

/// The folder as a file that can be locked. Elsewhere than on Unix a folder is none, and one in it stands
/// for it.
fn lockable(folder: &Path) -> io::Result<File> {
    if cfg!(unix) { File::open(folder) } else { open_lock(&folder.join(LOCK)) }
}

/// Removes the file that stands for the folder, where there is one. Left behind, it keeps no one out.
fn remove_lock(folder: &Path) {
    if cfg!(not(unix)) {
        let _ = fs::remove_file(folder.join(LOCK));
    }
}

/// A name of what was only begun: it does not occupy a folder.
const LOCK: &str = ".lock.tmp-0";

/// Removes the beginnings of files that a kill left in a folder and those below it.
fn remove_begun(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_begun(&entry.path())?;
        } else if is_begun(&entry.file_name()) && entry.file_name() != LOCK {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a file of this name was only begun.
fn is_begun(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') && name.contains(".tmp-")
}

/// Refuses an output folder.
fn refused(folder: &Path, what: &str) -> CliError {
    CliError::Input(format!(
        "the output folder `{}` {what}; choose another one with `--output-dir`",
        folder.display()
    ))
}

/// Whether nothing lies there, but for the beginnings of files that a kill left, and for what macOS' Finder
/// leaves in a folder that it has shown.
fn is_free(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            let is_nothing = |name: &OsStr| is_begun(name) || name == ".DS_Store";
            entries.try_fold(true, |free, entry| Ok(free && is_nothing(&entry?.file_name())))
        }
        // Windows says so of what lies below a file, too
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if folder.ancestors().any(Path::is_file) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(true)
        }
        Err(error) => Err(error),
    }
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
    fn one_named_folder_goes_to_one_of_many() {
        let scratch = tempfile::tempdir().unwrap();
        let taken = at_once(|| OwnFolder::new(Some(scratch.path()), PathBuf::new));
        let (one, others): (Vec<_>, Vec<_>) = taken.into_iter().partition(Result::is_ok);
        assert_eq!((one.len(), others.len()), (1, 15));
        for error in others.into_iter().filter_map(Result::err) {
            assert!(error.to_string().contains("another process"), "{error}");
        }
        fs::write(scratch.path().join("0000.png"), "a picture").unwrap();
        drop(one);
        let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(OwnFolder::new(Some(scratch.path()), PathBuf::new).is_err());
    }

    #[test]
    fn a_folder_that_the_finder_has_shown_is_free_as_long_as_it_looks_empty() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join(".DS_Store"), "Bud1").unwrap();
        check_free(scratch.path()).unwrap();
        fs::write(scratch.path().join("0000.png"), "a picture").unwrap();
        check_free(scratch.path()).unwrap_err();
    }

    #[test]
    fn what_a_kill_left_occupies_no_folder_and_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state");
        fs::create_dir(&state).unwrap();
        let begun = [scratch.path().join(".config.toml.tmp-7"), state.join(".a.tmp-7")];
        for file in &begun {
            fs::write(file, "seed").unwrap();
        }
        fs::write(scratch.path().join("config.toml"), "seed = 1").unwrap();
        let own = OwnFolder::again(scratch.path().into()).unwrap();
        let second = OwnFolder::again(scratch.path().into()).unwrap_err().to_string();
        assert!(second.ends_with("by another process; wait until that has ended"), "{second}");
        drop(own);
        assert!(!begun.iter().any(|file| file.exists()));
        fs::write(&begun[0], "seed").unwrap();
        assert!(free_folder(Some(scratch.path()), PathBuf::new).is_err());
        fs::remove_file(scratch.path().join("config.toml")).unwrap();
        fs::remove_dir(state).unwrap();
        let own = OwnFolder::new(Some(scratch.path()), PathBuf::new).unwrap();
        assert!(!begun[0].exists());
        own.discard();
        assert!(!scratch.path().exists());
    }
}
