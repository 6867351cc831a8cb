//! CLIP's byte-level BPE, as transformers' `CLIPTokenizerFast` builds it from `vocab.json` and
//! `merges.txt` (`CLIPConverter`, transformers 4.57), or from the `tokenizer.json` that it saves.
//!
//! Text is brought to NFC, its white space collapsed, lower-cased, split into words, digits and
//! punctuation, and every piece merged byte by byte; the last byte of a piece carries `</w>`.

use serde::Deserialize;
use tokenizers::{
    NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer,
    models::bpe::{BPE, Merges, Vocab},
    normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
};

use super::{
    PromptTokenizer, SpecialTokens, TokenizerError, WORD_END,
    json::{self, checked_vocab, parsed},
    settings::{Settings, missing, unusable},
};

const PIECES: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// transformers reads this many lines after the first one, whatever more the file holds.
const MERGES: usize = 49152 - 256 - 2;
/// CLIP's number of positions, where the configuration names no length.
const DEFAULT_MAX_LENGTH: usize = 77;

impl PromptTokenizer {
    /// Builds CLIP's tokenizer from the contents of `vocab.json`, `merges.txt` and, where the
    /// folder has them, `tokenizer_config.json` and `special_tokens_map.json`, which name the
    /// special tokens and the greatest length (defaults: CLIP's).
    ///
    /// # Errors
    /// Contents that cannot be read, or contradict each other.
    pub fn clip(
        vocab_json: &[u8],
        merges: &[u8],
        config: Option<&[u8]>,
        special_tokens_map: Option<&[u8]>,
    ) -> Result<Self, TokenizerError> {
        let vocab = checked_vocab(parsed(vocab_json, "vocab.json")?, "vocab.json")?;
        let merges = read_merges(merges, &vocab)?;
        Self::from_bpe(vocab, merges, &Settings::read(config, special_tokens_map)?)
    }

    /// The same from a `tokenizer.json`, which is all that transformers 5 saves of the vocabulary.
    ///
    /// # Errors
    /// Contents that cannot be read, or contradict each other.
    pub fn clip_from_json(
        tokenizer_json: &[u8],
        config: Option<&[u8]>,
        special_tokens_map: Option<&[u8]>,
    ) -> Result<Self, TokenizerError> {
        let json::TokenizerJson { model, added_tokens } =
            parsed::<json::TokenizerJson<BpeJson>>(tokenizer_json, json::FILE)?;
        let vocab = checked_vocab(model.vocab, json::FILE)?;
        let rules = model.merges.into_iter().enumerate();
        let merges = rules.map(|(number, merge)| {
            let (a, b) = match &merge {
                Merge::Pair([a, b]) => (Some(a.as_str()), Some(b.as_str())),
                Merge::Text(text) => text.split_once(' ').unzip(),
            };
            checked_merge(a.zip(b), &vocab).map_err(|reason| {
                let (file, number) = (json::FILE, number + 1);
                TokenizerError::Merges(format!("number {number} in `{file}`: {reason}"))
            })
        });
        let merges = merges.collect::<Result<_, _>>()?;
        let settings = Settings::read(config, special_tokens_map)?.with_added_tokens(added_tokens);
        Self::from_bpe(vocab, merges, &settings)
    }

    fn from_bpe(vocab: Vocab, merges: Merges, settings: &Settings) -> Result<Self, TokenizerError> {
        let special = SpecialTokens {
            bos: settings.special("bos_token", "<|startoftext|>", true)?,
            eos: settings.special("eos_token", "<|endoftext|>", true)?,
            unk: settings.special("unk_token", "<|endoftext|>", true)?,
            pad: settings.special("pad_token", "<|endoftext|>", false)?,
        };
        if !vocab.contains_key(&special.unk.content) {
            return Err(missing(&special.unk));
        }
        let bpe = BPE::builder()
            .vocab_and_merges(vocab, merges)
            .unk_token(special.unk.content.clone())
            .end_of_word_suffix(WORD_END.into())
            .build()
            .map_err(|error| TokenizerError::Merges(error.to_string()))?;
        let tokenizer = pipeline(bpe).map_err(unusable)?;
        Self::new(tokenizer, settings, special, DEFAULT_MAX_LENGTH)
    }
}

/// The steps before the merges, as `CLIPConverter` sets them.
fn pipeline(bpe: BPE) -> tokenizers::Result<Tokenizer> {
    let collapse = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
    let normalizers: Vec<NormalizerWrapper> = vec![NFC.into(), collapse.into(), Lowercase.into()];
    let pieces = SplitPattern::Regex(PIECES.into());
    let split = Split::new(pieces, SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::default().add_prefix_space(false);
    let pre_tokenizers: Vec<PreTokenizerWrapper> = vec![split.into(), bytes.into()];
    let mut tokenizer = Tokenizer::new(bpe);
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers)))?;
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(pre_tokenizers)));
    // the vocabulary writes bytes as characters: only so is a word with an accent given as it is typed
    tokenizer.with_decoder(Some(ByteLevel::default()));
    Ok(tokenizer)
}

/// The model of CLIP's `tokenizer.json`.
#[derive(Deserialize)]
struct BpeJson {
    vocab: Vocab,
    merges: Vec<Merge>,
}

/// tokenizers 0.20 writes pairs, earlier ones text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair([String; 2]),
    Text(String),
}

fn read_merges(bytes: &[u8], vocab: &Vocab) -> Result<Merges, TokenizerError> {
    let text = str::from_utf8(bytes)
        .map_err(|error| TokenizerError::Merges(format!("`merges.txt`: {error}")))?;
    if text.trim().is_empty() {
        // what a download leaves that did not begin: every word would be read letter by letter
        return Err(TokenizerError::Merges("`merges.txt` is empty".into()));
    }
    let lines = text.trim().lines().enumerate().skip(1).take(MERGES);
    lines
        .map(|(line, rule)| {
            let mut tokens = rule.split_whitespace();
            let pair = match (tokens.next(), tokens.next(), tokens.next()) {
                (Some(a), Some(b), None) => Some((a, b)),
                _ => None,
            };
            checked_merge(pair, vocab).map_err(|reason| {
                let line = line + 1;
                TokenizerError::Merges(format!("line {line} of `merges.txt`, `{rule}`: {reason}"))
            })
        })
        .collect()
}

/// Every rule is checked: `BpeBuilder::build` panics on a pair whose result is no token.
fn checked_merge(
    pair: Option<(&str, &str)>,
    vocab: &Vocab,
) -> Result<(String, String), &'static str> {
    let (a, b) = pair.ok_or("not two tokens")?;
    if [a, b, &format!("{a}{b}")].iter().all(|token| vocab.contains_key(*token)) {
        Ok((a.to_string(), b.to_string()))
    } else {
        Err("a token is not in the vocabulary")
    }
}
