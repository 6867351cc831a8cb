//! A command line, word by word.

use std::ffi::{OsStr, OsString};

use super::flags::{self, Flag};

/// A word, or a flag with its value.
#[derive(Debug)]
pub(super) enum Word {
    /// A flag of the official code and its value, where it has one.
    Official(&'static Flag, Option<OsString>),
    /// Anything else.
    Own(OsString),
}

/// The arguments of the command.
pub(super) struct Line(pub Vec<Word>);

impl Line {
    /// Whether a flag of ours is given, `name` with its hyphens.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|word| match word {
            Word::Own(word) => {
                let word = word.to_string_lossy();
                word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
            }
            Word::Official(..) => false,
        })
    }

    /// The last value of a flag of the official code.
    pub(super) fn value_os(&self, name: &str) -> Option<&OsString> {
        self.0.iter().rev().find_map(|word| match word {
            Word::Official(flag, value) if flag.name == name => value.as_ref(),
            _ => None,
        })
    }

    /// The same as text.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.value_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// What ends the run; where our own flags say that, DVAR.
    pub(super) fn variant(&self) -> String {
        let own = self.has("--preset") || self.has("--stopping");
        let default = if own { "dvar_early_stopping" } else { "vanilla" };
        self.value("variant").unwrap_or_else(|| default.into())
    }
}

/// Finds the flags of the official code, with `value` in the word after them or behind a `=`.
pub(super) fn read(args: &[OsString]) -> Vec<Word> {
    let mut args = args.iter().peekable();
    let mut words = Vec::new();
    while let Some(arg) = args.next() {
        let Some((flag, value)) = arg.to_str().and_then(flag) else {
            words.push(Word::Own(hyphens(arg)));
            continue;
        };
        let value = match value {
            None if flag.takes_value => args.next_if(|next| !is_flag(next)).cloned(),
            value => value.map(OsString::from),
        };
        words.push(Word::Official(flag, value));
    }
    words
}

/// A flag and what stands behind its `=`.
fn flag(arg: &str) -> Option<(&'static Flag, Option<&str>)> {
    let Some(long) = arg.strip_prefix("--") else {
        // `-m sd`, `-msd` or `-m=sd`
        let value = arg.strip_prefix("-m")?;
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some((flags::find("model")?, (!value.is_empty()).then_some(value)));
    };
    match long.split_once('=') {
        Some((name, value)) => Some((flags::find(name)?, Some(value))),
        None => Some((flags::find(long)?, None)),
    }
}

/// Whether a word is a flag and no value; a negative number is a value.
fn is_flag(word: &OsStr) -> bool {
    let text = word.to_string_lossy();
    text.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c == '-' || c.is_alphabetic()))
}

/// A long flag with hyphens for underscores; any other word as it is.
fn hyphens(word: &OsString) -> OsString {
    match word.to_str() {
        Some(text) if text.starts_with("--") => match text.split_once('=') {
            Some((name, value)) => format!("{}={value}", name.replace('_', "-")).into(),
            None => text.replace('_', "-").into(),
        },
        _ => word.clone(),
    }
}
