//! What can be wrong with a tokenizer's files, a placeholder or an initializer.

/// Why a tokenizer could not be built or a word not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The vocabulary does not give each of its tokens one of the numbers 0, 1, 2, ...
    #[error("`{file}` is not a tokenizer's vocabulary ({reason}): download it again")]
    Vocabulary {
        /// `vocab.json`, `vocab.txt`, `tokenizer.json` or `added_tokens.json`.
        file: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A merge rule that cannot be followed.
    #[error("the merges do not fit the vocabulary ({0}): download both again")]
    Merges(String),
    /// A configuration file that cannot be read, or names a token or a length that cannot be.
    #[error(
        "`tokenizer_config.json` or `special_tokens_map.json` is not usable ({0}): download it again"
    )]
    Config(String),
    /// A placeholder that is empty or holds white space.
    #[error("the placeholder `{0}` must be one word without white space")]
    PlaceholderForm(String),
    /// A number of vectors that no prompt holds.
    #[error("the placeholder `{placeholder}` has {num_vectors} vectors but must have 1 to {most}")]
    PlaceholderVectors {
        /// The refused placeholder.
        placeholder: String,
        /// The refused number.
        num_vectors: usize,
        /// As many as a prompt has room for beside its begin and end.
        most: usize,
    },
    /// A placeholder that already has a meaning.
    #[error(
        "the placeholder `{placeholder}` already is the token `{token}`: choose another, for \
         example `<my-concept>`"
    )]
    PlaceholderTaken {
        /// The refused placeholder.
        placeholder: String,
        /// The token of the vocabulary that it is.
        token: String,
    },
    /// A placeholder that a prompt would never contain as such.
    #[error(
        "the placeholder `{placeholder}` would be read as {}: choose another, for example \
         `<my-concept>`",
        listed(.pieces)
    )]
    PlaceholderSplits {
        /// The refused placeholder.
        placeholder: String,
        /// What it is read as.
        pieces: Vec<String>,
    },
    /// An initializer that is not exactly one token.
    #[error(
        "the initializer `{word}` must be one token but is read as {}: choose a shorter, common \
         word",
        listed(.pieces)
    )]
    Initializer {
        /// The refused word.
        word: String,
        /// What it is read as.
        pieces: Vec<String>,
    },
}

fn listed(pieces: &[String]) -> String {
    match pieces {
        [] => "nothing".into(),
        pieces => pieces.iter().map(|piece| format!("`{piece}`")).collect::<Vec<_>>().join(", "),
    }
}
