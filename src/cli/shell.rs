//! Paths and texts as they are typed on a command line.

use std::path::Path;

/// A path as it is typed.
pub(super) fn typed(path: &Path) -> String {
    let mut path = path.display().to_string();
    if path.starts_with('-') {
        // else it would be read as a flag
        path.insert_str(0, "./");
    }
    // a POSIX shell takes a backslash away
    let plain =
        |c: char| c.is_alphanumeric() || "-_./:".contains(c) || (cfg!(windows) && c == '\\');
    if path.chars().all(plain) {
        return path;
    }
    // Windows would take the last backslash and the quote behind it for a quote in the path
    let end = if cfg!(windows) { path.trim_end_matches('\\') } else { &path };
    quoted(end)
}

/// A text as it is typed, in quotes.
pub(super) fn quoted(text: &str) -> String {
    if cfg!(windows) {
        // cmd and programs read a doubled quote as one of the text
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    // these mean something to a POSIX shell between double quotes; the last one only to bash and zsh
    let has_meaning = text.contains(['"', '$', '`', '\\', '!']);
    if has_meaning { single_quoted(text) } else { format!("\"{text}\"") }
}

/// A text in the quotes between which nothing has a meaning to a POSIX shell.
pub(super) fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(windows)]
    #[test]
    fn quotes_and_backslashes_end_no_argument_on_windows() {
        assert_eq!(typed(Path::new(r"C:\cats\")), r"C:\cats\");
        assert_eq!(typed(Path::new(r"C:\my cats\")), r#""C:\my cats""#);
        assert_eq!(quoted(r#"a "big" <cat>"#), r#""a ""big"" <cat>""#);
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_gives_back_what_is_typed() {
        for text in
            ["my cat", "a \"big\" cat", "it's $HOME", "a `cat`", r"a\cat\", "it's", "cat!", "#"]
        {
            let words = [quoted(text), typed(Path::new(text))];
            let command = format!("printf '%s|' {}", words.join(" "));
            let shell = std::process::Command::new("sh").arg("-c").arg(command).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&shell.stdout), format!("{text}|{text}|"));
        }
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("wow!"), "'wow!'");
    }
}
