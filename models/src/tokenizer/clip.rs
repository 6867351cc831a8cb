//! CLIP's byte-level BPE, as transformers' `CLIPTokenizerFast` builds it from `vocab.json` and
//! `merges.txt` (`CLIPConverter`, transformers 4.57).
//!
//! Text is brought to NFC, its white space collapsed, lower-cased, split into words, digits and
//! punctuation, and every piece merged byte by byte; the last byte of a piece carries `</w>`.

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
        let vocab = read_vocab(vocab_json)?;
        let merges = read_merges(merges, &vocab)?;
        let settings = Settings::read(config, special_tokens_map)?;
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
        Self::new(tokenizer, &settings, special, DEFAULT_MAX_LENGTH)
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
    Ok(tokenizer)
}

/// Ids must count up from 0: they are rows of the embedding table, and placeholders follow them.
fn read_vocab(bytes: &[u8]) -> Result<Vocab, TokenizerError> {
    let unusable = |reason| TokenizerError::Vocabulary { file: "vocab.json", reason };
    let vocab: Vocab =
        serde_json::from_slice(bytes).map_err(|error| unusable(error.to_string()))?;
    let mut seen = vec![false; vocab.len()];
    for (token, id) in &vocab {
        match seen.get_mut(*id as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => {
                return Err(unusable(format!(
                    "token `{token}` has id {id}, out of order or taken"
                )));
            }
        }
    }
    Ok(vocab)
}

/// Checks every rule here: `BpeBuilder::build` panics on a pair whose result is no token.
fn read_merges(bytes: &[u8], vocab: &Vocab) -> Result<Merges, TokenizerError> {
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
            if [a, b, &format!("{a}{b}")].iter().all(|token| vocab.contains_key(*token)) {
                Ok((a.to_string(), b.to_string()))
            } else {
                Err(bad("a token is not in the vocabulary"))
            }
        })
        .collect()
}
