//! `tokenizer_config.json` and `special_tokens_map.json`.

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use super::TokenizerError;
use crate::config_checks::without_mark;

pub(super) fn unusable(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Config(error.to_string())
}

pub(super) fn missing(token: &AddedToken) -> TokenizerError {
    TokenizerError::Config(format!("the vocabulary has no special token `{}`", token.content))
}

/// The two JSON files. transformers asks the map first, unless the configuration lists all added
/// tokens under `added_tokens_decoder` (since 4.34).
pub(super) struct Settings {
    config: Value,
    special_tokens_map: Value,
}

impl Settings {
    pub(super) fn read(config: Option<&[u8]>, map: Option<&[u8]>) -> Result<Self, TokenizerError> {
        let read = |bytes: Option<&[u8]>| match bytes {
            None => Ok(Value::Null),
            Some(bytes) => serde_json::from_slice(without_mark(bytes))
                .map_err(|error| TokenizerError::Config(error.to_string())),
        };
        Ok(Self { config: read(config)?, special_tokens_map: read(map)? })
    }

    /// The same with the `added_tokens` of a `tokenizer.json`, where `tokenizer_config.json` lists
    /// none.
    pub(super) fn with_added_tokens(mut self, added_tokens: Vec<Value>) -> Self {
        if self.config.is_null() {
            self.config = Value::Object(Map::new());
        }
        if let Value::Object(config) = &mut self.config {
            let by_id = added_tokens.into_iter().map(|token| (token["id"].to_string(), token));
            let by_id = Value::Object(by_id.collect());
            config.entry("added_tokens_decoder").or_insert(by_id);
        }
        self
    }

    pub(super) fn special(
        &self,
        role: &str,
        default: &str,
        normalized: bool,
    ) -> Result<AddedToken, TokenizerError> {
        let mut files = [&self.special_tokens_map, &self.config];
        if self.config.get("added_tokens_decoder").is_some() {
            files.reverse();
        }
        let named = files.iter().filter_map(|file| file.get(role)).find(|value| !value.is_null());
        match named {
            None => Ok(AddedToken::from(default, true).normalized(normalized)),
            Some(value) => added_token(value, normalized)
                .ok_or_else(|| TokenizerError::Config(format!("`{role}` is not a token"))),
        }
    }

    /// The tokens that were added before the tokenizer was saved, earlier placeholders among
    /// them, under their ids.
    pub(super) fn add_saved_tokens(&self, tokenizer: &mut Tokenizer) -> Result<(), TokenizerError> {
        let Some(saved) = self.config.get("added_tokens_decoder").and_then(Value::as_object) else {
            return Ok(());
        };
        let saved = saved.iter();
        let saved = saved.map(|(id, token)| (id.parse::<u32>().ok(), added_token(token, true)));
        let mut saved: Vec<_> = saved.collect();
        saved.sort_by_key(|(id, _)| id.unwrap_or(u32::MAX));
        // all at once: each call builds anew what finds the tokens in a text
        let tokens = saved.iter().filter_map(|(_, token)| token.clone());
        tokenizer.add_tokens(tokens).map_err(unusable)?;
        for (id, token) in saved {
            let content = token.map(|token| token.content).unwrap_or_default();
            if id != tokenizer.token_to_id(&content) || content.is_empty() {
                let reason = format!("`added_tokens_decoder` has a wrong id for `{content}`");
                return Err(TokenizerError::Config(reason));
            }
        }
        Ok(())
    }

    /// A switch of `tokenizer_config.json`; `None` where it is not set.
    pub(super) fn switch(&self, key: &str) -> Result<Option<bool>, TokenizerError> {
        match self.config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(value) => Err(TokenizerError::Config(format!("`{key}` is {value}"))),
        }
    }

    /// transformers writes 1e30 for "no limit".
    pub(super) fn model_max_length(&self, default: usize) -> Result<usize, TokenizerError> {
        match self.config.get("model_max_length") {
            None | Some(Value::Null) => Ok(default),
            Some(value) => match (value.as_u64(), value.as_f64()) {
                (Some(length @ 2..=1_000_000), _) => Ok(length as usize),
                (_, Some(length)) if length > 1e6 => Ok(default),
                _ => Err(TokenizerError::Config(format!("`model_max_length` is {value}"))),
            },
        }
    }
}

/// A token as text, or as an object with its flags.
fn added_token(value: &Value, normalized: bool) -> Option<AddedToken> {
    let content = value.as_str().or_else(|| value.get("content")?.as_str())?;
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    Some(
        AddedToken::from(content, flag("special").unwrap_or(true))
            .normalized(flag("normalized").unwrap_or(normalized))
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .single_word(flag("single_word").unwrap_or(false)),
    )
}
