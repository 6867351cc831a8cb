//! Prompts to token ids: CLIP's byte-level BPE for Stable Diffusion, BERT's WordPiece for LDM, both
//! with learned tokens.

mod bert;
mod clip;
mod error;
mod json;
pub mod openai_clip;
mod settings;

use std::collections::BTreeMap;

use tokenizers::{AddedToken, Encoding, NormalizedString, Tokenizer};

pub use error::TokenizerError;
use settings::Settings;

/// What CLIP's vocabulary writes behind a token that ends a word.
const WORD_END: &str = "</w>";

/// The text with its letters and their accents as one character each (NFC), as keyboards give them; in
/// names of files that macOS' Finder has made they are two.
pub fn composed(text: &str) -> String {
    NormalizedString::from(text).nfc().get().to_string()
}

/// Turns prompts into token ids. Made by [`clip`](Self::clip) or [`bert`](Self::bert).
///
/// # Example
/// ```
/// use dvar_models::tokenizer::{PromptTokenizer, openai_clip};
///
/// let (vocab, merges) = (openai_clip::vocab_json(), openai_clip::MERGES);
/// let mut tokenizer = PromptTokenizer::clip(vocab.as_bytes(), merges.as_bytes(), None, None)?;
/// assert_eq!(tokenizer.encode("A photo", 6), [49406, 320, 1125, 49407, 49407, 49407]);
/// // a learned word of two vectors
/// assert_eq!(tokenizer.add_placeholder("<my-cat>", 2)?, [49408, 49409]);
/// assert_eq!(tokenizer.token_ids("a <my-cat>"), [320, 49408, 49409]);
/// # Ok::<(), dvar_models::tokenizer::TokenizerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PromptTokenizer {
    tokenizer: Tokenizer,
    placeholders: Vec<Vec<u32>>,
    vocab_size: usize,
    model_max_length: usize,
    positions: usize,
    bos_id: u32,
    eos_id: u32,
    unk_id: u32,
    pad_id: u32,
}

/// What begins, ends and fills a prompt, and what stands for a piece without token.
struct SpecialTokens {
    bos: AddedToken,
    eos: AddedToken,
    unk: AddedToken,
    pad: AddedToken,
}

impl PromptTokenizer {
    /// What both kinds of tokenizer have in common, on top of the pipeline that reads text.
    fn new(
        mut tokenizer: Tokenizer,
        settings: &Settings,
        special: SpecialTokens,
        default_max_length: usize,
    ) -> Result<Self, TokenizerError> {
        settings.add_saved_tokens(&mut tokenizer)?;
        let mut special_id = |token: AddedToken| {
            let Some(id) = tokenizer.token_to_id(&token.content) else {
                return Err(settings::missing(&token));
            };
            if !tokenizer.get_added_tokens_decoder().contains_key(&id) {
                tokenizer.add_special_tokens([token]).map_err(settings::unusable)?;
            }
            Ok(id)
        };
        let model_max_length = settings.model_max_length(default_max_length)?;
        Ok(Self {
            bos_id: special_id(special.bos)?,
            eos_id: special_id(special.eos)?,
            unk_id: special_id(special.unk)?,
            pad_id: special_id(special.pad)?,
            model_max_length,
            positions: model_max_length,
            vocab_size: tokenizer.get_vocab_size(true),
            placeholders: Vec::new(),
            tokenizer,
        })
    }

    /// The same with the tokens of an `added_tokens.json`, earlier placeholders among them.
    ///
    /// # Errors
    /// If it cannot be read, or an id is not the next one.
    pub fn with_added_tokens(mut self, added_tokens: &[u8]) -> Result<Self, TokenizerError> {
        const FILE: &str = "added_tokens.json";
        let added: BTreeMap<String, u32> = json::parsed(added_tokens, FILE)?;
        let mut added: Vec<_> = added.into_iter().collect();
        added.sort_by_key(|(_, id)| *id);
        let unknown = added.iter().filter(|(token, _)| self.tokenizer.token_to_id(token).is_none());
        let unknown = unknown
            .map(|(token, _)| AddedToken::from(token.as_str(), false).normalized(false))
            .collect::<Vec<_>>();
        // all at once: each call builds anew what finds the tokens in a text
        self.tokenizer.add_tokens(unknown).map_err(settings::unusable)?;
        for (token, id) in added {
            if self.tokenizer.token_to_id(&token) != Some(id) {
                let reason = format!("`{token}` has id {id}, out of order or taken");
                return Err(TokenizerError::Vocabulary { file: FILE, reason });
            }
        }
        self.vocab_size = self.tokenizer.get_vocab_size(true);
        Ok(self)
    }

    /// Number of tokens before any placeholder was added; their ids are 0 to one less.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The same tokenizer for a text encoder with so many positions, where these are fewer than the
    /// tokenizer's files say.
    #[must_use]
    pub fn with_positions(self, positions: usize) -> Self {
        let positions = self.model_max_length.min(positions);
        Self { positions, ..self }
    }

    /// Greatest number of ids that the tokenizer's files name, [begin](Self::bos_id) and
    /// [end](Self::eos_id) included. LDM's is 512, far more than its text encoder's positions.
    pub fn model_max_length(&self) -> usize {
        self.model_max_length
    }

    /// Number of ids that the text encoder takes.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Id that begins every prompt: CLIP's BOS, BERT's `[CLS]`.
    pub fn bos_id(&self) -> u32 {
        self.bos_id
    }

    /// Id that ends every prompt: CLIP's EOS, BERT's `[SEP]`.
    pub fn eos_id(&self) -> u32 {
        self.eos_id
    }

    /// Id that fills a prompt up.
    pub fn pad_id(&self) -> u32 {
        self.pad_id
    }

    /// Adds `token` as a word of its own with `num_vectors` ids (named `token`, `token_1`, ... as
    /// in diffusers) and gives these ids, which follow those there were. Wherever a prompt holds
    /// `token`, also inside of a word and in other case, it then stands for all of them in order.
    ///
    /// # Errors
    /// An empty `token` or one with white space, a `num_vectors` of 0 or more than a prompt holds,
    /// a word that already is a token, and one that would not be read as these ids. The tokenizer
    /// is then unchanged.
    pub fn add_placeholder(
        &mut self,
        token: &str,
        num_vectors: usize,
    ) -> Result<Vec<u32>, TokenizerError> {
        if token.is_empty() || token.contains(char::is_whitespace) {
            return Err(TokenizerError::PlaceholderForm(token.into()));
        }
        let most = self.positions.saturating_sub(2);
        if !(1..=most).contains(&num_vectors) {
            let placeholder = token.into();
            return Err(TokenizerError::PlaceholderVectors { placeholder, num_vectors, most });
        }
        let mut names = vec![token.to_string()];
        names.extend((1..num_vectors).map(|vector| format!("{token}_{vector}")));
        for name in &names {
            self.check_free(name)?;
        }

        let mut extended = self.clone();
        let added = names.iter().map(|name| AddedToken::from(name.as_str(), false));
        extended.tokenizer.add_tokens(added).map_err(settings::unusable)?;
        let ids: Vec<u32> =
            names.iter().filter_map(|name| extended.tokenizer.token_to_id(name)).collect();
        extended.placeholders.push(ids.clone());
        if extended.token_ids(token) != ids {
            let pieces = extended.read(token).get_tokens().to_vec();
            return Err(TokenizerError::PlaceholderSplits { placeholder: token.into(), pieces });
        }
        *self = extended;
        Ok(ids)
    }

    /// The `max_length` ids of a prompt: begin, [its ids](Self::token_ids) as far as they fit, end,
    /// padding. A `max_length` below 2 has room for no more than the begin.
    pub fn encode(&self, prompt: &str, max_length: usize) -> Vec<u32> {
        let mut ids = vec![self.bos_id];
        ids.extend(self.token_ids(prompt).into_iter().take(max_length.saturating_sub(2)));
        ids.push(self.eos_id);
        ids.resize(max_length, self.pad_id);
        ids
    }

    /// The ids of a training caption: [encoded](Self::encode) to the greatest length and then cut
    /// to the positions, as the official code does. So LDM's long captions lose their end.
    pub fn encode_caption(&self, caption: &str) -> Vec<u32> {
        let mut ids = self.encode(caption, self.model_max_length);
        ids.truncate(self.positions);
        ids
    }

    /// The ids of a text alone, with every placeholder as all its ids.
    pub fn token_ids(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        for id in self.read(text).get_ids() {
            match self.placeholders.iter().find(|vectors| vectors.first() == Some(id)) {
                Some(vectors) => ids.extend(vectors),
                None => ids.push(*id),
            }
        }
        ids
    }

    /// The id of what vectors can start from: of a [word](Self::word_id), or else of an entry that the
    /// vocabulary has as it stands. CLIP's `ktn`, from which the official code starts, is such an
    /// entry: texts have it only inside of words, and alone it is read as `k`, `tn`.
    ///
    /// # Errors
    /// Those of [`word_id`](Self::word_id), if there is no such entry either.
    pub fn initializer_id(&self, word: &str) -> Result<u32, TokenizerError> {
        self.word_id(word).or_else(|error| {
            let entry = self.tokenizer.token_to_id(word);
            let known = |id: &u32| *id != self.unk_id && (*id as usize) < self.vocab_size;
            entry.filter(known).ok_or(error)
        })
    }

    /// The id of a word that is exactly one token of the vocabulary.
    ///
    /// # Errors
    /// A word of no or several tokens, or one that the vocabulary lacks; the error lists the
    /// pieces.
    pub fn word_id(&self, word: &str) -> Result<u32, TokenizerError> {
        match self.token_ids(word)[..] {
            [id] if id != self.unk_id => Ok(id),
            _ => {
                let pieces = self.read(word).get_tokens().to_vec();
                Err(TokenizerError::Initializer { word: word.into(), pieces })
            }
        }
    }

    /// The words that are one token each, and their ids, in the ids' order. Pieces of words and
    /// special tokens are none: no text reads as them. Neither are control characters.
    pub fn words(&self) -> Vec<(u32, String)> {
        let special = [self.bos_id, self.eos_id, self.pad_id, self.unk_id];
        (0..self.vocab_size as u32)
            .filter(|id| !special.contains(id))
            .filter_map(|id| {
                let text = self.tokenizer.decode(&[id], false).ok()?;
                let word = text.trim().trim_end_matches(WORD_END).to_string();
                let is_text = !word.is_empty() && !word.contains(char::is_control);
                (is_text && self.token_ids(&word) == [id]).then_some((id, word))
            })
            .collect()
    }

    /// The tokens of a text, each placeholder as one.
    fn read(&self, text: &str) -> Encoding {
        // The one error of these pipelines is a piece without token where the unknown token has
        // no id either; the constructors refuse such a vocabulary.
        self.tokenizer.encode(text, false).unwrap_or_default()
    }

    /// An error where `name` is a token as it stands, at the end of a word, or once normalized.
    fn check_free(&self, name: &str) -> Result<(), TokenizerError> {
        let at_word_end = format!("{name}{WORD_END}");
        let entry = [name, &at_word_end];
        let entry = entry.into_iter().find(|token| self.tokenizer.token_to_id(token).is_some());
        let read = self.read(name);
        // BERT reads any word of unknown characters as the one unknown token, which names nothing.
        let unknown = |token: &str| {
            self.tokenizer.token_to_id(token) == Some(self.unk_id)
                && !token.eq_ignore_ascii_case(name)
        };
        let one = match read.get_tokens() {
            [token] if !unknown(token) => Some(token.as_str()),
            _ => None,
        };
        entry.or(one).map_or(Ok(()), |token| {
            let (placeholder, token) = (name.into(), token.into());
            Err(TokenizerError::PlaceholderTaken { placeholder, token })
        })
    }
}

#[cfg(test)]
mod tests;
