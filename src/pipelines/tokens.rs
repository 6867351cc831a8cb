//! Texts to token ids, for all of a model's text encoders at once.

use dvar_models::tokenizer::{PromptTokenizer, TokenizerError};

/// The token ids of a text, for each text encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptIds(pub Vec<Vec<u32>>);

/// The tokenizers of a model's text encoders, which read the same texts.
#[derive(Clone, Debug)]
pub struct PromptTokenizers {
    tokenizers: Vec<PromptTokenizer>,
    /// What each gave the learned vectors, in order; empty without a concept.
    placeholder_ids: Vec<Vec<u32>>,
}

impl PromptTokenizers {
    /// A tokenizer for each text encoder, without learned tokens.
    pub(super) fn new(tokenizers: Vec<PromptTokenizer>) -> Self {
        let placeholder_ids = vec![Vec::new(); tokenizers.len()];
        Self { tokenizers, placeholder_ids }
    }

    /// The single tokenizers.
    pub fn each(&self) -> &[PromptTokenizer] {
        &self.tokenizers
    }

    /// Ids of the learned vectors, for each text encoder.
    pub fn placeholder_ids(&self) -> &[Vec<u32>] {
        &self.placeholder_ids
    }

    /// Registers the word for the learned vectors, of which each text encoder has `num_vectors`.
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
            *ids = tokenizer.add_placeholder(token, num_vectors)?;
        }
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

    /// Tokenises a training caption: the same but for LDM's long ones, which lose their end as in
    /// the official code.
    pub fn encode_caption(&self, caption: &str) -> PromptIds {
        self.ids(|tokenizer| tokenizer.encode_caption(caption))
    }

    /// The ids of a text's words alone.
    pub fn token_ids(&self, text: &str) -> PromptIds {
        self.ids(|tokenizer| tokenizer.token_ids(text))
    }

    /// The id of a word that vectors can start from.
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
