//! What is read of a folder, and every way that a folder or a list of files can be bad.

use std::{fs, path::Path};

use dvar::data::{
    DataError,
    dataset::Dataset,
    picture_files,
    reading::{CropMode, Reading},
};
use image::ImageFormat;

use super::halves;
use crate::golden;

#[test]
fn lists_pictures_with_extensions_in_any_case_by_name_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for name in
        ["b.JPG", "a.webp", "c.Png", "d.jpeg", "e.txt", "f.xjpeg", "png", "._a.webp", "h.jfif"]
    {
        fs::write(folder.path().join(name), halves(9, 9, ImageFormat::Png)).unwrap();
    }
    fs::create_dir(folder.path().join("g.png")).unwrap();
    let files = picture_files(folder.path()).unwrap();
    let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["a.webp", "b.JPG", "c.Png", "d.jpeg", "h.jfif"]);
    let dataset = Dataset::from_folder(folder.path(), 16, CropMode::Center).unwrap();
    assert_eq!(dataset.pictures().len(), 5);
    assert!(dataset.names()[1].ends_with("b.JPG"), "{:?}", dataset.names());
}

/// What comes out of a device, or of a pipe, may have no end.
#[cfg(unix)]
#[test]
fn a_device_under_the_name_of_a_picture_is_not_read_and_a_link_to_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name));
    let picture = folder.path().join("a.png");
    fs::write(&picture, halves(9, 9, ImageFormat::Png)).unwrap();
    link("/dev/zero", "b.png").unwrap();
    assert_eq!(picture_files(folder.path()).unwrap(), [picture]);
    link("nothing", "c.png").unwrap();
    let error = Dataset::from_folder(folder.path(), 16, CropMode::Center).unwrap_err();
    assert!(error.to_string().contains("c.png"), "{error}");
}

#[test]
fn a_picture_that_counts_several_times_is_read_and_held_once() {
    let folder = tempfile::tempdir().unwrap();
    for (path, side) in [("10_mine/a", 9), ("10_mine/b", 10), ("5_others/c", 11)] {
        let file = folder.path().join(path).with_extension("png");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, halves(side, side, ImageFormat::Png)).unwrap();
    }
    let reading = Reading { kohya_folders: true, ..Reading::default() };
    let dataset = Dataset::from_folder(folder.path(), 16, reading).unwrap();
    assert_eq!((dataset.pictures().len(), dataset.names().len()), (3, 3));
    assert_eq!(dataset.round(), [0, 1, 0, 1, 2]);
}

#[test]
fn a_folder_with_one_bad_picture_names_it() {
    let folder = golden::root().join("images/concept");
    let error = Dataset::from_folder(&folder, 64, CropMode::Center).unwrap_err();
    assert!(matches!(error, DataError::NotAPicture { .. }), "{error}");
    assert!(error.to_string().contains("ignored.JPG"), "{error}");
}

#[test]
fn each_bad_folder_or_list_has_its_own_message() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| picture_files(path).unwrap_err().to_string();
    assert!(message(&folder.path().join("missing")).starts_with("no folder `"));
    assert!(message(folder.path()).contains("found an empty folder"));
    let file = folder.path().join("notes.txt");
    fs::write(&file, "text").unwrap();
    assert!(message(&file).contains("is a file, not a folder"));
    assert!(message(folder.path()).contains("found `notes.txt`"));
    for name in ["b.heic", "c.avif", "z.txt", "a.psd"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    assert!(message(folder.path()).contains("found `a.psd`, `b.heic`, `c.avif` and 2 more"));

    let gone = [folder.path().join("gone.png")];
    let error = Dataset::from_files(&gone, 64, CropMode::Center).unwrap_err();
    assert!(matches!(error, DataError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("gone.png"), "{error}");
    let error = Dataset::from_bytes(Vec::new(), 64, CropMode::Center).unwrap_err();
    assert!(matches!(error, DataError::NothingGiven), "{error}");
    let file = || vec![("a.png".to_owned(), halves(9, 9, ImageFormat::Png))];
    for resolution in [0, 7, 4097, usize::MAX] {
        let error = Dataset::from_bytes(file(), resolution, CropMode::Squash).unwrap_err();
        assert!(matches!(error, DataError::Resolution { .. }), "{error}");
    }
}
