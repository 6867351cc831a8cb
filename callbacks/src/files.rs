//! Files written so that a reader sees the old content or the new, never a part of it.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    thread,
    time::Duration,
};

/// How often, and after what time each, Windows is asked again to replace a file that is in use.
const PAUSES: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Replaces the file at `path` by one with `bytes`, all or nothing even if the power fails.
///
/// The bytes go to `.NAME.tmp-PID` in the same folder, which must exist; that file reaches the
/// disk, takes the place of the old one, and then the folder reaches the disk.
///
/// # Errors
/// If any of that fails. The old file is then untouched and the new one removed, except when only
/// the last step failed: then `path` has the new content.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("`{}` names no file", path.display()))
    })?;
    // The parent of a bare name is empty, which no call would accept as a folder.
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".tmp-{}", std::process::id()));
    let temporary = folder.join(temporary);

    let written = write_through(&temporary, bytes).and_then(|()| replace(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; what cannot be made cannot be removed either.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_folder(folder))
}

fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    if_supported(file.sync_all())
}

/// Windows moves and replaces no file that another program has open, as virus scanners have what is new for
/// a moment.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let rename = || fs::rename(from, to);
    if cfg!(windows) { patiently(rename, PAUSE) } else { rename() }
}

/// Does what may be refused while a file is in use, again after a pause where it is.
fn patiently(mut work: impl FnMut() -> io::Result<()>, pause: Duration) -> io::Result<()> {
    const SHARING_VIOLATION: i32 = 32;
    for _ in 0..PAUSES {
        match work() {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    || error.raw_os_error() == Some(SHARING_VIOLATION) =>
            {
                thread::sleep(pause);
            }
            done => return done,
        }
    }
    work()
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    if_supported(File::open(folder)?.sync_all())
}

/// Elsewhere a folder cannot be opened as a file, and the rename is already ordered.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// What came of a file's `sync_all` or `sync_data`, but for the answer of a file system that knows no such
/// thing: to write there is no error. Such are network shares on macOS, and FUSE there.
///
/// # Errors
/// If the file system syncs, and failed.
pub fn if_supported(synced: io::Result<()>) -> io::Result<()> {
    synced.or_else(|error| if is_unsupported(&error) { Ok(()) } else { Err(error) })
}

fn is_unsupported(error: &io::Error) -> bool {
    // ENOTTY and ENOTSUP, for which not every version of Rust has a kind
    let of_macos = cfg!(target_vendor = "apple") && matches!(error.raw_os_error(), Some(25 | 45));
    of_macos || matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_is_made_and_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for content in ["first, and longer", "second"] {
            write_atomic(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(names(folder.path()), ["state.json"]);
        }
    }

    #[test]
    fn a_failed_rename_leaves_the_old_content_and_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        // A folder that is not empty cannot be replaced by a file.
        fs::create_dir(&path).unwrap();
        write_atomic(&path.join("old"), b"kept").unwrap();
        assert!(write_atomic(&path, b"new").is_err());
        assert_eq!(names(folder.path()), ["taken"]);
        assert_eq!(fs::read(path.join("old")).unwrap(), b"kept");
    }

    #[test]
    fn a_file_in_use_is_waited_for_a_while_and_nothing_else_is() {
        let attempts = |kind: io::ErrorKind, free_after: usize| {
            let mut made = 0;
            let work = || {
                made += 1;
                if made > free_after { Ok(()) } else { Err(io::Error::from(kind)) }
            };
            let done = patiently(work, Duration::ZERO).is_ok();
            (made, done)
        };
        assert_eq!(attempts(io::ErrorKind::PermissionDenied, 2), (3, true));
        assert_eq!(attempts(io::ErrorKind::PermissionDenied, usize::MAX), (PAUSES + 1, false));
        assert_eq!(attempts(io::ErrorKind::StorageFull, 2), (1, false));
    }

    #[test]
    fn what_cannot_be_synced_is_no_error_and_a_failed_sync_is_one() {
        // answers as SMB does on macOS
        #[cfg(target_os = "linux")]
        {
            let file = File::open("/dev/null").unwrap();
            assert!(file.sync_all().is_err());
            if_supported(file.sync_all()).unwrap();
        }
        assert!(if_supported(Err(io::ErrorKind::Unsupported.into())).is_ok());
        assert!(if_supported(Err(io::ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn a_missing_folder_and_a_path_without_a_name_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_atomic(&folder.path().join("missing/state.json"), b"").is_err());
        assert!(write_atomic(Path::new(".."), b"").is_err());
        assert!(names(folder.path()).is_empty());
    }
}
