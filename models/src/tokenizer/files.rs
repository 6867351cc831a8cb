//! What a CLIP tokenizer is built from: the files' contents, checked, and the fixed pipeline.

use serde_json::Value;
use tokenizers::{
    AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer,
    models::bpe::{BPE, Merges, Vocab},
    normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
};

use super::TokenizerError;

const PIECES: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// transformers reads this many lines after the first one, whatever more the file holds.
const MERGES: usize = 49152 - 256 - 2;
/// CLIP's number of positions, where the configuration names no length.
const DEFAULT_MAX_LENGTH: usize = 77;

/// The steps before the merges, as `CLIPConverter` sets them.
pub(super) fn clip_pipeline(bpe: BPE) -> tokenizers::Result<Tokenizer> {
    let collapse = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
    let normalizers: Vec<NormalizerWrapper> = vec![NFC.into(), collapse.into(), Lowercase.into()];
    let pieces = SplitPattern::Regex(PIECES.into());
    let split = Split::new(pieces, SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::default().add_prefix_space(false);
    let pre_tokenizers: Vec<PreTokenizerWrapper> = vec![split.into(), bytes.into()];
    let mut tokenizer = Tokenizer::new(bpe);
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers)))?;
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(pre_tokenizers)));
    Ok(tokenizer)
}

pub(super) fn unusable(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Config(error.to_string())
}

pub(super) fn missing(token: &AddedToken) -> TokenizerError {
    TokenizerError::Config(format!("the vocabulary has no special token `{}`", token.content))
}

/// Ids must count up from 0: they are rows of the embedding table, and placeholders follow them.
pub(super) fn read_vocab(bytes: &[u8]) -> Result<Vocab, TokenizerError> {
    let vocab: Vocab = serde_json::from_slice(bytes)
        .map_err(|error| TokenizerError::Vocabulary(error.to_string()))?;
    let mut seen = vec![false; vocab.len()];
    for (token, id) in &vocab {
        match seen.get_mut(*id as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => {
                let reason = format!("token `{token}` has id {id}, out of order or taken");
                return Err(TokenizerError::Vocabulary(reason));
            }
        }
    }
    Ok(vocab)
}

/// Checks every rule here: `BpeBuilder::build` panics on a pair whose result is no token.
pub(super) fn read_merges(bytes: &[u8], vocab: &Vocab) -> Result<Merges, TokenizerError> {
    let text = str::from_utf8(bytes).map_err(|error| TokenizerError::Merges(error.to_string()))?;
    let lines = text.trim().lines().enumerate().skip(1).take(MERGES);
    lines
        .map(|(line, rule)| {
            let bad = |reason: &str| {
                TokenizerError::Merges(format!("line {}, `{rule}`: {reason}", line + 1))
            };
            let mut tokens = rule.split_whitespace();
            let (Some(a), Some(b), None) = (tokens.next(), tokens.next(), tokens.next()) else {
                return Err(bad("not two tokens"));
            };
            match [a, b, &format!("{a}{b}")].iter().all(|token| vocab.contains_key(*token)) {
                true => Ok((a.to_string(), b.to_string())),
                false => Err(bad("a token is not in the vocabulary")),
            }
        })
        .collect()
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
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|error| TokenizerError::Config(error.to_string())),
        };
        Ok(Self { config: read(config)?, special_tokens_map: read(map)? })
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
        let mut saved: Vec<_> =
            saved.iter().map(|(id, token)| (id.parse::<u32>(), token)).collect();
        saved.sort_by_key(|(id, _)| id.clone().unwrap_or(u32::MAX));
        for (id, value) in saved {
            let token = added_token(value, true);
            let content = token.as_ref().map(|token| token.content.clone()).unwrap_or_default();
            tokenizer.add_tokens(token).map_err(unusable)?;
            if id.ok() != tokenizer.token_to_id(&content) || content.is_empty() {
                let reason = format!("`added_tokens_decoder` has a wrong id for `{content}`");
                return Err(TokenizerError::Config(reason));
            }
        }
        Ok(())
    }

    /// transformers writes 1e30 for "no limit".
    pub(super) fn model_max_length(&self) -> Result<usize, TokenizerError> {
        match self.config.get("model_max_length") {
            None | Some(Value::Null) => Ok(DEFAULT_MAX_LENGTH),
            Some(value) => match (value.as_u64(), value.as_f64()) {
                (Some(length @ 2..=1_000_000), _) => Ok(length as usize),
                (_, Some(length)) if length > 1e6 => Ok(DEFAULT_MAX_LENGTH),
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
