//! Names of W&B's folders and files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::fingerprint::Fingerprint;

/// The log of the run in `folder`, if there is one: `offline-run-TIME-ID/run-ID.wandb`.
pub(super) fn find(folder: &Path) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let newest = names.filter(|name| name.starts_with("offline-run-")).max();
    Ok(newest.and_then(|name| Some(log_in(folder.join(&name), name.rsplit_once('-')?.1))))
}

/// Makes the folder of a run that begins `now`, in seconds since 1970, and names its log.
pub(super) fn create(folder: &Path, now: f64) -> io::Result<PathBuf> {
    let id = new_id(folder, now);
    let run = folder.join(format!("offline-run-{}-{id}", utc(now as u64)));
    fs::create_dir_all(run.join("files"))?;
    Ok(log_in(run, &id))
}

fn log_in(run: PathBuf, id: &str) -> PathBuf {
    run.join(format!("run-{id}.wandb"))
}

/// The id in a log's name.
pub(super) fn run_id(log: &Path) -> &str {
    let name = log.file_stem().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix("run-")).unwrap_or_default()
}

/// Where a picture lies below `files/`; pictures that differ have names that differ.
pub(super) fn picture(name: &str, step: usize, bytes: &[u8]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    format!("media/images/{name}_{step}_{:08x}.png", crc32fast::hash(bytes))
}

/// Eight of `0-9a-z`, as W&B's own ids, hashed from time and place: W&B must not take two runs
/// for one.
fn new_id(folder: &Path, now: f64) -> String {
    let place = std::path::absolute(folder).unwrap_or_default();
    let place = place.as_os_str().as_encoded_bytes();
    let Fingerprint(mut hash) = Fingerprint::of(&now.to_le_bytes()).and(place);
    let mut digit = || {
        let digit = char::from_digit((hash % 36) as u32, 36);
        hash /= 36;
        digit
    };
    (0..8).filter_map(|_| digit()).collect()
}

/// `YYYYMMDD_HHMMSS` of seconds since 1970, in UTC.
fn utc(seconds: u64) -> String {
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}{:02}{:02}_{hour:02}{minute:02}{second:02}", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, want) in [
            (0, "19700101_000000"),
            (951_782_399, "20000228_235959"),
            (951_782_400, "20000229_000000"),
            (1_735_689_599, "20241231_235959"),
            (4_107_542_400, "21000301_000000"),
        ] {
            assert_eq!(utc(seconds), want);
        }
    }

    #[test]
    fn a_run_is_found_again_and_another_time_or_place_gives_another_id() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find(&folder.path().join("none")).unwrap(), None);
        let log = create(folder.path(), 1e9).unwrap();
        assert_eq!(find(folder.path()).unwrap(), Some(log.clone()));
        let id = run_id(&log);
        assert!(
            id.len() == 8
                && log.ends_with(format!("offline-run-20010909_014640-{id}/run-{id}.wandb"))
        );
        assert_ne!(new_id(folder.path(), 1e9), new_id(folder.path(), 1e9 + 1e-6));
        assert_ne!(new_id(folder.path(), 1e9), new_id(&folder.path().join("a"), 1e9));
    }

    #[test]
    fn a_picture_of_any_name_stays_in_its_folder() {
        let path = picture("../a b/ü", 3, b"");
        assert_eq!(path, "media/images/___a_b___3_00000000.png");
    }
}
