//! BERT's WordPiece, as transformers' `BertTokenizerFast` builds it from `vocab.txt`
//! (`BertConverter`, transformers 4.57).
//!
//! Text is cleaned, lower-cased and freed of accents, split at white space and punctuation, and
//! every word taken apart into the longest tokens that begin it; `##` marks all but the first.

use serde::Deserialize;
use tokenizers::{
    AddedToken, Tokenizer,
    models::{bpe::Vocab, wordpiece::WordPiece},
    normalizers::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer,
};

use super::{
    PromptTokenizer, SpecialTokens, TokenizerError,
    json::{self, checked_vocab, parsed},
    settings::{Settings, missing, unusable},
};

/// BERT's number of positions, where the configuration names no length.
const DEFAULT_MAX_LENGTH: usize = 512;

impl PromptTokenizer {
    /// Builds BERT's tokenizer from the contents of `vocab.txt` and, where the folder has them,
    /// `tokenizer_config.json` and `special_tokens_map.json`, which name the special tokens, the
    /// greatest length and how text is cleaned (defaults: those of `bert-base-uncased`).
    ///
    /// # Errors
    /// Contents that cannot be read, or contradict each other.
    pub fn bert(
        vocab_txt: &[u8],
        config: Option<&[u8]>,
        special_tokens_map: Option<&[u8]>,
    ) -> Result<Self, TokenizerError> {
        Self::from_word_piece(read_vocab(vocab_txt)?, &Settings::read(config, special_tokens_map)?)
    }

    /// The same from a `tokenizer.json`, which is all that transformers 5 saves of the vocabulary.
    ///
    /// # Errors
    /// Contents that cannot be read, or contradict each other.
    pub fn bert_from_json(
        tokenizer_json: &[u8],
        config: Option<&[u8]>,
        special_tokens_map: Option<&[u8]>,
    ) -> Result<Self, TokenizerError> {
        let json::TokenizerJson { model, added_tokens } =
            parsed::<json::TokenizerJson<WordPieceJson>>(tokenizer_json, json::FILE)?;
        let settings = Settings::read(config, special_tokens_map)?.with_added_tokens(added_tokens);
        Self::from_word_piece(checked_vocab(model.vocab, json::FILE)?, &settings)
    }

    fn from_word_piece(vocab: Vocab, settings: &Settings) -> Result<Self, TokenizerError> {
        let special = |role, default| settings.special(role, default, false);
        let mask = special("mask_token", "[MASK]")?;
        let special = SpecialTokens {
            bos: special("cls_token", "[CLS]")?,
            eos: special("sep_token", "[SEP]")?,
            unk: special("unk_token", "[UNK]")?,
            pad: special("pad_token", "[PAD]")?,
        };
        if !vocab.contains_key(&special.unk.content) {
            return Err(missing(&special.unk));
        }
        let has_mask = vocab.contains_key(&mask.content);
        let word_piece = WordPiece::builder().vocab(vocab).unk_token(special.unk.content.clone());
        let mut tokenizer = Tokenizer::new(word_piece.build().map_err(unusable)?);
        let normalizer = BertNormalizer::new(
            true,
            settings.switch("tokenize_chinese_chars")?.unwrap_or(true),
            settings.switch("strip_accents")?,
            settings.switch("do_lower_case")?.unwrap_or(true),
        );
        tokenizer.with_normalizer(Some(normalizer)).map_err(unusable)?;
        tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
        // No prompt needs it, but one that holds it is read so.
        let mask: Option<AddedToken> = has_mask.then_some(mask);
        tokenizer.add_special_tokens(mask).map_err(unusable)?;
        Self::new(tokenizer, settings, special, DEFAULT_MAX_LENGTH)
    }
}

/// The model of BERT's `tokenizer.json`.
#[derive(Deserialize)]
struct WordPieceJson {
    vocab: Vocab,
}

/// One token for each line; its number, from 0, is the token's id.
fn read_vocab(bytes: &[u8]) -> Result<Vocab, TokenizerError> {
    let unusable = |reason| TokenizerError::Vocabulary { file: "vocab.txt", reason };
    let text = str::from_utf8(bytes).map_err(|error| unusable(error.to_string()))?;
    let mut vocab = Vocab::default();
    for (id, token) in text.lines().enumerate() {
        // The tokenizer's ids have 32 bits, a file of more lines would not fit memory.
        if vocab.insert(token.to_string(), id as u32).is_some() {
            return Err(unusable(format!("line {} repeats the token `{token}`", id + 1)));
        }
    }
    Ok(vocab)
}
