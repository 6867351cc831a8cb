//! Why options make no run.

use std::fmt;

use crate::early_stopping::CriterionError;

/// Why options make no run. Messages call an option as a configuration file does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A required option is missing.
    #[error("option `{option}` is missing; it must be {expected}")]
    Missing {
        /// The option.
        option: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// An option is out of its range.
    #[error("option `{option}` is {value}; it must be {expected}")]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// An option has a value of another type, or a name that stands for nothing.
    #[error("option `{option}` cannot be read: {}", in_words(parser.message()))]
    Unreadable {
        /// The option.
        option: &'static str,
        /// The parser's words; no source of the error, for they name types as Rust does.
        parser: toml::de::Error,
    },
    /// No option has this name.
    #[error("there is no option `{name}`; {}", Nearest(nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The option whose name is the most like it.
        nearest: Option<&'static str>,
    },
    /// A configuration text does not parse.
    #[error(
        "`{file}` is no usable configuration: {}{}",
        in_words(&parser.to_string()),
        on_backslashes(parser)
    )]
    Unparsable {
        /// The file.
        file: String,
        /// The parser's words, with the line; no source either.
        parser: toml::de::Error,
    },
    /// A text of options is no JSON object.
    #[error("the options must be a JSON object of names and values: {0}")]
    Json(#[from] serde_json::Error),
    /// Options have a value that TOML cannot hold.
    #[error(
        "the options cannot be written as TOML, whose paths are UTF-8 and whose numbers end at \
         9223372036854775807: {0}"
    )]
    Unwritable(#[from] toml::ser::Error),
    /// The criterion refuses its settings.
    #[error(transparent)]
    Criterion(#[from] CriterionError),
}

impl ConfigError {
    /// The option that has to be changed, where it is one, as a key of a configuration file.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::Missing { option, .. }
            | Self::OutOfRange { option, .. }
            | Self::Unreadable { option, .. } => Some(option),
            Self::Criterion(error) => error.option(),
            Self::Unknown { .. }
            | Self::Unparsable { .. }
            | Self::Json(_)
            | Self::Unwritable(_) => None,
        }
    }
}

/// What the parser says, whose last words may name a type as Rust does.
fn in_words(said: &str) -> String {
    const TYPES: [(&str, &str); 7] = [
        ("expected usize", "expected a whole number that is not negative"),
        ("expected u64", "expected a whole number that is not negative"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected `true` or `false`"),
        ("expected path string", "expected a path between quotes"),
        ("expected a sequence", "expected a list"),
        ("wanted string or table", "expected a name between quotes"),
    ];
    let said = said.trim_end();
    let told =
        TYPES.iter().find_map(|&(rust, words)| Some(said.strip_suffix(rust)?.to_string() + words));
    told.unwrap_or_else(|| said.into())
}

/// What helps where a Windows path stands between double quotes.
fn on_backslashes(parser: &toml::de::Error) -> &'static str {
    let escape = ["escape", "unicode"].iter().any(|word| parser.message().contains(word));
    if escape { "; write a path with `/`, or between single quotes" } else { "" }
}

/// What a message about an unknown option ends with.
struct Nearest<'a>(&'a Option<&'static str>);

impl fmt::Display for Nearest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "did you mean `{name}`?"),
            None => f.write_str("`docs/options.md` lists all"),
        }
    }
}
