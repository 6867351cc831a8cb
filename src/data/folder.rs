//! The pictures of a folder, and what lies beside them.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    dataset::{Dataset, PictureFile, gcd},
    error::DataError,
    reading::Reading,
};

/// Endings of pictures that are read.
const READ: [&str; 9] = ["png", "jpg", "jpeg", "jfif", "webp", "bmp", "gif", "tif", "tiff"];

/// Endings of pictures that are not.
const NOT_READ: [&str; 12] =
    ["heic", "heif", "avif", "jxl", "jp2", "svg", "psd", "xcf", "dng", "cr2", "nef", "arw"];

/// What a mask's name ends in, in the place of its picture's ending.
const MASK: &str = "mask.png";

/// The most pictures that folders' numbers may ask for: a folder named by a date is none of kohya's.
const MOST_REPEATED: usize = 100_000;

/// The endings of captions, the first that is there counts.
const CAPTIONS: [&str; 2] = ["txt", "caption"];

/// The most bytes of a caption, of which a text encoder reads some hundreds: a text of megabytes, as a log or a
/// list may lie beside a picture, takes minutes and gigabytes to split into tokens.
const LONGEST_CAPTION: u64 = 20_000;

impl Dataset {
    /// Prepares the pictures of a folder as [`Dataset::from_bytes`] does; see
    /// [`picture_files`] for which files and in which order.
    ///
    /// # Errors
    ///
    /// Those of [`picture_files`] and [`Dataset::from_files`], [`DataError::NoRepeats`] and
    /// [`DataError::TooManyRepeats`].
    pub fn from_folder(
        folder: &Path,
        resolution: usize,
        reading: impl Into<Reading>,
    ) -> Result<Self, DataError> {
        let reading = reading.into();
        let folders = if reading.kohya_folders {
            repeated_files(folder)?
        } else {
            vec![(picture_files(folder)?, 1)]
        };
        let (mut files, mut round) = (Vec::new(), Vec::new());
        for (mut pictures, times) in folders {
            if reading.masks {
                pictures.retain(|file| !is_mask(file));
            }
            let places = files.len()..files.len() + pictures.len();
            round.extend((0..times).flat_map(|_| places.clone()));
            files.extend(pictures);
        }
        Ok(Self::from_files(&files, resolution, reading)?.in_rounds_of(round))
    }

    /// Prepares the files named, in the order given, as [`Dataset::from_bytes`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Dataset::from_bytes`], [`DataError::Unreadable`], and [`DataError::NoCaption`],
    /// [`DataError::LongCaption`] and [`DataError::NotUtf8`] where captions are read.
    pub fn from_files(
        files: &[PathBuf],
        resolution: usize,
        reading: impl Into<Reading>,
    ) -> Result<Self, DataError> {
        let reading = reading.into();
        let read = |path: &PathBuf| {
            let mask =
                Some(path.with_extension(MASK)).filter(|mask| reading.masks && mask.is_file());
            Ok(PictureFile {
                mask: mask.as_deref().map(named).transpose()?,
                caption: reading.captions.then(|| caption(path)).transpose()?,
                ..PictureFile::from(named(path)?)
            })
        };
        Self::build(files.iter().map(read), resolution, reading)
    }
}

/// The pictures of a folder by their endings (in upper or lower case), sorted by file name; other
/// files, sub-folders, pipes and devices, names that begin with a dot and masks beside their pictures are left
/// out.
///
/// The official code skips upper-case endings, as cameras write them; here they count.
///
/// # Errors
///
/// [`DataError::NoSuchFolder`], [`DataError::NotAFolder`], [`DataError::NoPictures`] or
/// [`DataError::Unreadable`].
pub fn picture_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let path = folder.display().to_string();
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(DataError::NotAFolder { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DataError::NoSuchFolder { path });
        }
        Err(source) => return Err(unreadable(folder, source)),
    }
    let (mut pictures, others): (Vec<_>, Vec<_>) =
        entries(folder)?.into_iter().partition(|path| ends_in(path, &READ) && !is_no_file(path));
    if pictures.is_empty() {
        let mut found = in_words(&others);
        if let Some(unread) = others.iter().find(|path| ends_in(path, &NOT_READ)) {
            let unread = in_words(std::slice::from_ref(unread));
            found = format!("{found}; convert pictures such as {unread} to png or jpg");
        }
        if let Some((kohya, _)) = repeated_folders(folder)?.first() {
            let kohya = in_words(std::slice::from_ref(kohya));
            found = format!("{found}; `kohya_folders` reads those in folders such as {kohya}");
        }
        return Err(DataError::NoPictures { path, found });
    }
    // also where masks are not read: no mask is a picture of the concept
    let masks: HashSet<PathBuf> = pictures.iter().map(|path| path.with_extension(MASK)).collect();
    pictures.retain(|path| !masks.contains(path));
    Ok(pictures)
}

/// The pictures that are read of a folder, each once: its own, or with `kohya_folders` those of the folders in
/// it that kohya's names count.
///
/// # Errors
///
/// Those of [`picture_files`], [`DataError::NoRepeats`] and [`DataError::TooManyRepeats`].
pub fn read_files(folder: &Path, kohya_folders: bool) -> Result<Vec<PathBuf>, DataError> {
    if !kohya_folders {
        return picture_files(folder);
    }
    Ok(repeated_files(folder)?.into_iter().flat_map(|(pictures, _)| pictures).collect())
}

/// The pictures of a folder that are left out, since nothing here reads them, in words; none where
/// there are none. With `kohya_folders` also those of the folders in it that are read.
///
/// # Errors
///
/// [`DataError::Unreadable`].
pub fn left_out(folder: &Path, kohya_folders: bool) -> Result<Option<String>, DataError> {
    let mut others = entries(folder)?;
    let folders = if kohya_folders { repeated_folders(folder)? } else { Vec::new() };
    for (folder, _) in folders {
        others.extend(entries(&folder)?);
    }
    others.retain(|path| ends_in(path, &NOT_READ));
    Ok((!others.is_empty()).then(|| in_words(&others)))
}

/// What lies beside the folders in a folder that kohya's names count, and may be meant to be read: pictures,
/// and folders without a number; in words, none where there is nothing.
///
/// # Errors
///
/// [`DataError::Unreadable`].
pub fn uncounted(folder: &Path) -> Result<Option<String>, DataError> {
    let counted = repeated_folders(folder)?;
    let mut others = entries(folder)?;
    others.retain(|path| ends_in(path, &READ) || path.is_dir());
    others.retain(|path| !counted.iter().any(|(folder, _)| folder == path));
    Ok((!others.is_empty()).then(|| in_words(&others)))
}

/// How many of the pictures of these names have a text beside them.
pub fn captioned(names: &[String]) -> usize {
    let has_text = |name: &&String| {
        CAPTIONS.iter().any(|ending| Path::new(name).with_extension(ending).is_file())
    };
    names.iter().filter(has_text).count()
}

/// The pictures of each folder in a folder, and how often they count: in the shares that the names say,
/// those of `3_mine` three times where those of `1_others` count once.
fn repeated_files(folder: &Path) -> Result<Vec<(Vec<PathBuf>, usize)>, DataError> {
    let folders = repeated_folders(folder)?;
    // twice as many of everything is the same
    let divisor = folders.iter().fold(0, |divisor, (_, number)| gcd(divisor, *number));
    if divisor == 0 {
        return Err(DataError::NoRepeats { path: folder.display().to_string() });
    }
    let (mut files, mut count) = (Vec::new(), 0_usize);
    for (folder, number) in &folders {
        let (pictures, times) = (picture_files(folder)?, number / divisor);
        count = pictures.len().saturating_mul(times).saturating_add(count);
        if times > 1 && count > MOST_REPEATED {
            let path = folder.display().to_string();
            return Err(DataError::TooManyRepeats { path, count, limit: MOST_REPEATED });
        }
        files.push((pictures, times));
    }
    Ok(files)
}

/// The folders in a folder whose names begin with a number, each with that number.
fn repeated_folders(folder: &Path) -> Result<Vec<(PathBuf, usize)>, DataError> {
    let repeats = |path: &PathBuf| {
        let name = path.file_name()?.to_string_lossy();
        let (number, _) = name.split_once('_')?;
        number.parse::<usize>().ok().filter(|number| *number > 0 && path.is_dir())
    };
    let folders = entries(folder)?.into_iter();
    Ok(folders.filter_map(|path| repeats(&path).map(|number| (path, number))).collect())
}

/// What lies in a folder, by name, but for names that begin with a dot: a system's own files, and what
/// macOS leaves beside pictures on other disks.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut entries: Vec<PathBuf> = read.map_err(|source| unreadable(folder, source))?;
    let is_hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    entries.retain(|path| !is_hidden(path));
    entries.sort();
    Ok(entries)
}

fn ends_in(path: &Path, endings: &[&str]) -> bool {
    path.extension()
        .is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Whether it is a folder, or a pipe or a device, of which reading may have no end. A link that leads nowhere
/// counts as a file: whoever reads it tells of it.
fn is_no_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_file())
}

fn is_mask(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(&format!(".{MASK}")))
}

/// The text beside a picture, on one line.
fn caption(picture: &Path) -> Result<String, DataError> {
    let files = CAPTIONS.map(|ending| picture.with_extension(ending));
    let Some(file) = files.iter().find(|file| file.is_file()) else {
        let (name, caption) = (picture.display().to_string(), files[0].display().to_string());
        return Err(DataError::NoCaption { name, caption });
    };
    let mut bytes = Vec::new();
    let read =
        File::open(file).and_then(|file| file.take(LONGEST_CAPTION + 1).read_to_end(&mut bytes));
    let length = read.map_err(|source| unreadable(file, source))? as u64;
    let name = file.display().to_string();
    if length > LONGEST_CAPTION {
        return Err(DataError::LongCaption { name, limit: LONGEST_CAPTION });
    }
    let text = String::from_utf8(bytes).map_err(|_| DataError::NotUtf8 { name })?;
    // some editors put a byte-order mark before it
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn named(path: &Path) -> Result<(String, Vec<u8>), DataError> {
    let bytes = std::fs::read(path).map_err(|source| unreadable(path, source))?;
    Ok((path.display().to_string(), bytes))
}

/// The first few names and how many more there are.
fn in_words(others: &[PathBuf]) -> String {
    const SHOWN: usize = 3;
    let names: Vec<String> = others
        .iter()
        .take(SHOWN)
        .filter_map(|path| Some(format!("`{}`", path.file_name()?.to_string_lossy())))
        .collect();
    match others.len() {
        0 => "an empty folder".into(),
        total if total > SHOWN => format!("{} and {} more", names.join(", "), total - SHOWN),
        _ => names.join(", "),
    }
}

fn unreadable(path: &Path, source: io::Error) -> DataError {
    DataError::Unreadable { path: path.display().to_string(), source }
}
