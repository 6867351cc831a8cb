//! `tokenizer.json`, which is all that transformers 5 saves of a vocabulary.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokenizers::models::bpe::Vocab;

use super::TokenizerError;
use crate::config_checks::without_mark;

/// The file's name, for messages.
pub(super) const FILE: &str = "tokenizer.json";

/// What is read of it: how text is cleaned and split is known of each kind.
#[derive(Deserialize)]
pub(super) struct TokenizerJson<M> {
    pub model: M,
    /// Special tokens and earlier placeholders, as objects with their ids and flags.
    #[serde(default)]
    pub added_tokens: Vec<Value>,
}

/// Parses a JSON file; `file` is named in errors.
pub(super) fn parsed<T: DeserializeOwned>(
    json: &[u8],
    file: &'static str,
) -> Result<T, TokenizerError> {
    serde_json::from_slice(without_mark(json))
        .map_err(|error| TokenizerError::Vocabulary { file, reason: error.to_string() })
}

/// Checks that ids count up from 0: they are rows of the embedding table, and placeholders follow
/// them.
pub(super) fn checked_vocab(vocab: Vocab, file: &'static str) -> Result<Vocab, TokenizerError> {
    // by id, so that of several wrong tokens it is always the same that is told
    let mut tokens: Vec<(u32, &str)> = vocab.iter().map(|(token, id)| (*id, &**token)).collect();
    tokens.sort_unstable();
    for (place, (id, token)) in tokens.into_iter().enumerate() {
        if id as usize != place {
            let reason = format!("token `{token}` has id {id}, out of order or taken");
            return Err(TokenizerError::Vocabulary { file, reason });
        }
    }
    Ok(vocab)
}
