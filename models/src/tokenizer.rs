//! CLIP's byte-level BPE tokenizer, as transformers' `CLIPTokenizerFast` builds it from a model
//! folder's `tokenizer/vocab.json` and `merges.txt` (`CLIPConverter`, transformers 4.57).
//!
//! Text is brought to NFC, its white space collapsed, lower-cased, split into words, digits and
//! punctuation, and every piece merged byte by byte; the last byte of a piece carries `</w>`.

mod files;

use tokenizers::{AddedToken, Encoding, Tokenizer, models::bpe::BPE};

use files::Settings;

const WORD_END: &str = "</w>";

/// Why a tokenizer could not be built or a word not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// The vocabulary is not a JSON object from tokens to the numbers 0, 1, 2, ...
    #[error("`vocab.json` is not a CLIP vocabulary ({0}): download it again")]
    Vocabulary(String),
    /// A merge rule that cannot be followed.
    #[error("`merges.txt` does not fit `vocab.json` ({0}): download both again")]
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
        /// As many as a prompt has room for beside BOS and EOS.
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

/// Turns prompts into token ids.
#[derive(Clone, Debug)]
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    placeholders: Vec<Vec<u32>>,
    vocab_size: usize,
    model_max_length: usize,
    bos_id: u32,
    eos_id: u32,
    unk_id: u32,
    pad_id: u32,
}

impl ClipTokenizer {
    /// Builds the tokenizer from the contents of `vocab.json`, `merges.txt` and, where the folder
    /// has them, `tokenizer_config.json` and `special_tokens_map.json`, which name the special
    /// tokens and the greatest length (defaults: CLIP's).
    ///
    /// # Errors
    /// Contents that cannot be read, or contradict each other.
    pub fn new(
        vocab_json: &[u8],
        merges: &[u8],
        config: Option<&[u8]>,
        special_tokens_map: Option<&[u8]>,
    ) -> Result<Self, TokenizerError> {
        let vocab = files::read_vocab(vocab_json)?;
        let merges = files::read_merges(merges, &vocab)?;
        let settings = Settings::read(config, special_tokens_map)?;
        let unk = settings.special("unk_token", "<|endoftext|>", true)?;
        if !vocab.contains_key(&unk.content) {
            return Err(files::missing(&unk));
        }
        let bpe = BPE::builder()
            .vocab_and_merges(vocab, merges)
            .unk_token(unk.content.clone())
            .end_of_word_suffix(WORD_END.into())
            .build()
            .map_err(|error| TokenizerError::Merges(error.to_string()))?;
        let mut tokenizer = files::clip_pipeline(bpe).map_err(files::unusable)?;
        settings.add_saved_tokens(&mut tokenizer)?;

        let bos = settings.special("bos_token", "<|startoftext|>", true)?;
        let eos = settings.special("eos_token", "<|endoftext|>", true)?;
        let pad = settings.special("pad_token", "<|endoftext|>", false)?;
        let mut special_id = |token: AddedToken| {
            let Some(id) = tokenizer.token_to_id(&token.content) else {
                return Err(files::missing(&token));
            };
            if !tokenizer.get_added_tokens_decoder().contains_key(&id) {
                tokenizer.add_special_tokens([token]).map_err(files::unusable)?;
            }
            Ok(id)
        };
        Ok(Self {
            bos_id: special_id(bos)?,
            eos_id: special_id(eos)?,
            unk_id: special_id(unk)?,
            pad_id: special_id(pad)?,
            model_max_length: settings.model_max_length()?,
            vocab_size: tokenizer.get_vocab_size(true),
            placeholders: Vec::new(),
            tokenizer,
        })
    }

    /// Number of tokens before any placeholder was added; their ids are 0 to one less.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The same tokenizer for a text encoder with fewer positions than the tokenizer's files say.
    #[must_use]
    pub fn with_positions(self, positions: usize) -> Self {
        let model_max_length = self.model_max_length.min(positions);
        Self { model_max_length, ..self }
    }

    /// Greatest number of ids the model takes, [BOS](Self::bos_id) and [EOS](Self::eos_id)
    /// included.
    pub fn model_max_length(&self) -> usize {
        self.model_max_length
    }

    /// Id that begins every prompt.
    pub fn bos_id(&self) -> u32 {
        self.bos_id
    }

    /// Id that ends every prompt.
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
        let most = self.model_max_length.saturating_sub(2);
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
        extended.tokenizer.add_tokens(added).map_err(files::unusable)?;
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

    /// The `max_length` ids of a prompt: BOS, [its ids](Self::token_ids) as far as they fit, EOS,
    /// padding. A `max_length` below 2 has room for no more than the BOS.
    pub fn encode(&self, prompt: &str, max_length: usize) -> Vec<u32> {
        let mut ids = vec![self.bos_id];
        ids.extend(self.token_ids(prompt).into_iter().take(max_length.saturating_sub(2)));
        ids.push(self.eos_id);
        ids.resize(max_length, self.pad_id);
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

    /// The id of a word that is exactly one token of the vocabulary.
    ///
    /// # Errors
    /// A word of no or several tokens, or one that the vocabulary lacks; the error lists the
    /// pieces.
    pub fn initializer_id(&self, word: &str) -> Result<u32, TokenizerError> {
        match self.token_ids(word)[..] {
            [id] if id != self.unk_id => Ok(id),
            _ => {
                let pieces = self.read(word).get_tokens().to_vec();
                Err(TokenizerError::Initializer { word: word.into(), pieces })
            }
        }
    }

    /// The tokens of a text, each placeholder as one.
    fn read(&self, text: &str) -> Encoding {
        // The one error of this pipeline is a byte without token where the unknown token has no
        // id either; `new` refuses such a vocabulary.
        self.tokenizer.encode(text, false).unwrap_or_default()
    }

    /// An error where `name` is a token as it stands, at the end of a word, or once normalized.
    fn check_free(&self, name: &str) -> Result<(), TokenizerError> {
        let at_word_end = format!("{name}{WORD_END}");
        let entry = [name, &at_word_end];
        let entry = entry.into_iter().find(|token| self.tokenizer.token_to_id(token).is_some());
        let read = self.read(name);
        let one = match read.get_tokens() {
            [token] => Some(token.as_str()),
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
