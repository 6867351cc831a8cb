//! What folders are called, and names for files.

use std::path::Path;

use dvar_models::tokenizer::composed;

/// What a folder is called: `.` and `..` have a name only once they are resolved.
pub(super) fn folder_name(folder: &Path) -> String {
    let resolved = folder.file_name().is_none().then(|| folder.canonicalize().ok()).flatten();
    let folder = resolved.as_deref().unwrap_or(folder);
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The longest name in bytes that is made of a word: with what files begin and end in behind it, all
/// systems take it.
const LONGEST_NAME: usize = 100;

/// Letters and digits with hyphens between, as in a file's name: `<my cat>` gives `my-cat`.
pub(super) fn plain_name(name: &str) -> String {
    let name: String = composed(name)
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { ' ' })
        .collect();
    let mut name = name.split_whitespace().collect::<Vec<_>>().join("-");
    name.truncate(name.floor_char_boundary(LONGEST_NAME));
    match &name[..] {
        "" => "concept".into(),
        reserved if is_reserved(reserved) => format!("{name}-concept"),
        _ => name,
    }
}

/// Whether Windows keeps the name for a device, whatever its ending.
fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let port = ["com", "lpt"].iter().find_map(|kind| name.strip_prefix(kind));
    ["con", "prn", "aux", "nul"].contains(&&*name)
        || port.is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_called_as_it_is_however_it_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let cat = scratch.path().join("my cat");
        fs::create_dir_all(cat.join("deeper")).unwrap();
        for path in [cat.clone(), cat.join("."), cat.join("deeper/..")] {
            assert_eq!(folder_name(&path), "my cat");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(folder_name(Path::new(".")), here.file_name().unwrap().to_string_lossy());
        assert_eq!(folder_name(Path::new("none/cat")), "cat");
    }

    #[test]
    fn a_name_holds_letters_and_digits_and_is_none_that_windows_keeps() {
        for (token, name) in [
            ("<my cat>", "my-cat"),
            ("*", "concept"),
            ("<con>", "con-concept"),
            ("Nul", "Nul-concept"),
            ("<com1>", "com1-concept"),
            ("<com10>", "com10"),
            ("<cone>", "cone"),
            // as macOS' Finder names a folder
            ("<ma\u{308}dchen>", "m\u{e4}dchen"),
        ] {
            assert_eq!(plain_name(token), name);
        }
        assert_eq!(plain_name(&format!("<{}>", "猫".repeat(100))), "猫".repeat(33));
    }
}
