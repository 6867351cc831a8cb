//! Texts to token ids, for all of a model's text encoders at once.

use dvar_models::tokenizer::{PromptTokenizer, TokenizerError};

/// The token ids of a text, for each text encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptIds(pub Vec<Vec<u32>>);

/// What becomes of a prompt that is longer than a text encoder reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LongPrompts {
    /// Its end is left out, as in diffusers.
    #[default]
    Cut,
    /// It is read in parts, each by itself, as in A1111.
    Chunk,
}

/// A prompt whose end is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutPrompt {
    /// Tokens of the whole prompt.
    pub tokens: usize,
    /// How many of them are read.
    pub room: usize,
    /// The learned words that stand in the rest, or begin before it.
    pub lost: Vec<String>,
}

/// The tokenizers of a model's text encoders, which read the same texts.
#[derive(Clone, Debug)]
pub struct PromptTokenizers {
    tokenizers: Vec<PromptTokenizer>,
    /// What each gave the learned vectors, in order; empty without a concept.
    placeholder_ids: Vec<Vec<u32>>,
    /// The learned words, in the order of their vectors, and how many vectors each has.
    placeholders: Vec<(String, usize)>,
    long_prompts: LongPrompts,
}

impl PromptTokenizers {
    /// A tokenizer for each text encoder, without learned tokens.
    pub(super) fn new(tokenizers: Vec<PromptTokenizer>) -> Self {
        let placeholder_ids = vec![Vec::new(); tokenizers.len()];
        Self {
            tokenizers,
            placeholder_ids,
            placeholders: Vec::new(),
            long_prompts: LongPrompts::Cut,
        }
    }

    /// The same tokenizers, which do this with long prompts.
    #[must_use]
    pub fn with_long_prompts(self, long_prompts: LongPrompts) -> Self {
        Self { long_prompts, ..self }
    }

    /// The single tokenizers.
    pub fn each(&self) -> &[PromptTokenizer] {
        &self.tokenizers
    }

    /// Ids of the learned vectors, for each text encoder.
    pub fn placeholder_ids(&self) -> &[Vec<u32>] {
        &self.placeholder_ids
    }

    /// Registers a word for learned vectors, of which each text encoder has `num_vectors`; these follow
    /// those of the words that were registered before.
    ///
    /// # Errors
    ///
    /// Those of [`PromptTokenizer::add_placeholder`].
    pub fn add_placeholder(
        &mut self,
        token: &str,
        num_vectors: usize,
    ) -> Result<(), TokenizerError> {
        for (tokenizer, ids) in self.tokenizers.iter_mut().zip(&mut self.placeholder_ids) {
            ids.extend(tokenizer.add_placeholder(token, num_vectors)?);
        }
        self.placeholders.push((token.into(), num_vectors));
        Ok(())
    }

    /// How many learned vectors each text encoder has.
    pub fn num_vectors(&self) -> usize {
        self.placeholder_ids.first().map_or(0, Vec::len)
    }

    /// Tokenises a prompt that is drawn: begin, text (cut where too long), end, padding.
    pub fn encode(&self, prompt: &str) -> PromptIds {
        self.ids(|tokenizer| tokenizer.encode(prompt, tokenizer.positions()))
    }

    /// Tokenises a prompt that is drawn, in as many parts as it takes where long prompts are not cut.
    /// A learned word is never taken apart.
    pub fn encode_parts(&self, prompt: &str) -> Vec<PromptIds> {
        if self.long_prompts == LongPrompts::Cut {
            return vec![self.encode(prompt)];
        }
        let encoders = self.tokenizers.iter().enumerate();
        let mut parts: Vec<_> =
            encoders.map(|(encoder, tokenizer)| self.parts(encoder, tokenizer, prompt)).collect();
        let count = parts.iter().map(Vec::len).max().unwrap_or(0);
        for (parts, tokenizer) in parts.iter_mut().zip(&self.tokenizers) {
            parts.resize(count, tokenizer.encode("", tokenizer.positions()));
        }
        let part = |number: usize| parts.iter().map(|parts| parts[number].clone()).collect();
        (0..count).map(|number| PromptIds(part(number))).collect()
    }

    /// The parts of a prompt for one text encoder, each with begin, end and padding.
    fn parts(&self, encoder: usize, tokenizer: &PromptTokenizer, prompt: &str) -> Vec<Vec<u32>> {
        let room = tokenizer.positions().saturating_sub(2).max(1);
        let ids = tokenizer.token_ids(prompt);
        let (mut parts, mut rest) = (vec![Vec::new()], &ids[..]);
        while !rest.is_empty() {
            let learned = self.words_of(encoder).find(|(_, ids)| rest.starts_with(ids));
            let (word, next) = rest.split_at(learned.map_or(1, |(_, ids)| ids.len()));
            if parts.last().is_some_and(|part: &Vec<u32>| part.len() + word.len() > room) {
                parts.push(Vec::new());
            }
            parts.last_mut().expect("there is a first part").extend(word);
            rest = next;
        }
        let whole = |part: Vec<u32>| {
            let mut ids = vec![tokenizer.bos_id()];
            ids.extend(part);
            ids.push(tokenizer.eos_id());
            ids.resize(tokenizer.positions(), tokenizer.pad_id());
            ids
        };
        parts.into_iter().map(whole).collect()
    }

    /// The learned words and their ids for a text encoder.
    fn words_of(&self, encoder: usize) -> impl Iterator<Item = (&str, &[u32])> {
        let mut rest = self.placeholder_ids.get(encoder).map_or(&[][..], Vec::as_slice);
        self.placeholders.iter().map(move |(word, count)| {
            let (ids, others) = rest.split_at(*count);
            rest = others;
            (word.as_str(), ids)
        })
    }

    /// The learned words that a prompt holds, as the tokenizer reads it: in any case.
    pub fn words_in(&self, prompt: &str) -> Vec<&str> {
        let Some(tokenizer) = self.tokenizers.first() else { return Vec::new() };
        self.words_among(&tokenizer.token_ids(prompt))
    }

    /// The learned words of which the first text encoder's `ids` hold any part.
    fn words_among(&self, ids: &[u32]) -> Vec<&str> {
        let held = self.words_of(0).filter(|(_, word)| word.iter().any(|id| ids.contains(id)));
        held.map(|(word, _)| word).collect()
    }

    /// What a prompt loses where long prompts are cut; none where it is read to its end.
    pub fn cut(&self, prompt: &str) -> Option<CutPrompt> {
        let tokenizer =
            self.tokenizers.first().filter(|_| self.long_prompts == LongPrompts::Cut)?;
        let (ids, room) = (tokenizer.token_ids(prompt), tokenizer.positions().saturating_sub(2));
        let rest = ids.get(room..).filter(|rest| !rest.is_empty())?;
        let lost = self.words_among(rest).into_iter().map(str::to_owned).collect();
        Some(CutPrompt { tokens: ids.len(), room, lost })
    }

    /// Tokenises a training caption: the same but for LDM's long ones, which lose their end as in
    /// the official code.
    pub fn encode_caption(&self, caption: &str) -> PromptIds {
        self.ids(|tokenizer| tokenizer.encode_caption(caption))
    }

    /// The ids of a text's words alone.
    pub fn token_ids(&self, text: &str) -> PromptIds {
        self.ids(|tokenizer| tokenizer.token_ids(text))
    }

    /// The id of what vectors can start from: a word, or an entry of the vocabulary.
    ///
    /// # Errors
    ///
    /// Those of [`PromptTokenizer::initializer_id`].
    pub fn initializer_ids(&self, word: &str) -> Result<PromptIds, TokenizerError> {
        let ids = self.tokenizers.iter().map(|tokenizer| Ok(vec![tokenizer.initializer_id(word)?]));
        ids.collect::<Result<_, _>>().map(PromptIds)
    }

    /// The words that vectors can start from: the first text encoder's.
    pub fn words(&self) -> Vec<String> {
        let words = self.tokenizers.first().map(PromptTokenizer::words).unwrap_or_default();
        words.into_iter().map(|(_, word)| word).collect()
    }

    fn ids(&self, encode: impl Fn(&PromptTokenizer) -> Vec<u32>) -> PromptIds {
        PromptIds(self.tokenizers.iter().map(encode).collect())
    }
}
