//! Where the concept's vectors start, and the tokens that stand for them.

use std::path::Path;

use dvar_models::tokenizer::{PromptTokenizer, TokenizerError};

use super::SessionError;
use crate::{
    config::{Initializer, TrainConfig},
    embedding::LearnedEmbedding,
    pipelines::{ModelFolder, PipelineError},
    rng::{Purpose, Stream},
};

/// The file of a model's folder with the words that it was trained on, one on a line.
pub const WORDS: &str = "words.txt";

/// Each word costs an evaluation: of so many, a run still begins soon.
const MOST_TRIED: usize = 2048;

/// Where the vectors start, with nothing left to look up.
#[derive(Clone, Debug, PartialEq)]
pub enum InitialVectors {
    /// Rows of the token table, repeated in turn to as many vectors as there are.
    Tokens(Vec<u32>),
    /// Given vectors.
    Learned(LearnedEmbedding),
}

/// Where the vectors start, as far as it is known before a network is loaded.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// All is known.
    Known(InitialVectors),
    /// A token that chance chose, with its word.
    Drawn(u32, String),
    /// The word is yet to be searched for in the vocabulary.
    Searched(Rank),
    /// The word is yet to be found by trying each of these.
    Tried(Vec<(u32, String)>),
}

/// Which of the vocabulary's words, by CLIP's likeness to the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// The most alike.
    Best,
    /// The least alike.
    Worst,
}

impl Start {
    /// Looks an initializer up in the tokenizer; `read` reads the learned embedding that is named,
    /// where one is.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Tokenizer`] if a token is none of the model's, and what `read` gives.
    pub fn new<E: From<SessionError>>(
        config: &TrainConfig,
        model: &ModelFolder,
        read: impl FnOnce(&Path) -> Result<LearnedEmbedding, E>,
    ) -> Result<Self, E> {
        let tokenizer = model.tokenizer().map_err(SessionError::from)?;
        let token = |word: &str| tokenizer.initializer_id(word).map_err(SessionError::from);
        Ok(match &config.initializer {
            Initializer::Token(word) => Self::Known(InitialVectors::Tokens(vec![token(word)?])),
            Initializer::Text(text) => match tokenizer.token_ids(text) {
                // says why such a text is no initializer
                ids if ids.is_empty() => Self::Known(InitialVectors::Tokens(vec![token(text)?])),
                ids => Self::Known(InitialVectors::Tokens(ids)),
            },
            Initializer::Random => {
                let words = tokenizer.words();
                let drawn = Stream::new(config.seed, Purpose::Initialization, 0).below(words.len());
                let (id, word) = words.get(drawn).cloned().ok_or(SessionError::NoWords)?;
                Self::Drawn(id, word)
            }
            Initializer::File(file) => Self::Known(InitialVectors::Learned(read(file)?)),
            Initializer::Best => Self::Searched(Rank::Best),
            Initializer::Worst => Self::Searched(Rank::Worst),
            Initializer::LowestLoss => Self::Tried(words_to_try(model, &tokenizer)?),
        })
    }

    /// Vectors that the concept is made of: a search and chance give one.
    pub fn num_vectors(&self, config: &TrainConfig) -> usize {
        let given = match self {
            Self::Known(initial) => initial.len(),
            Self::Drawn(..) | Self::Searched(_) | Self::Tried(_) => 1,
        };
        config.num_vectors.unwrap_or(given)
    }
}

/// The words to try: those that the model names, or else its vocabulary.
fn words_to_try(
    model: &ModelFolder,
    tokenizer: &PromptTokenizer,
) -> Result<Vec<(u32, String)>, SessionError> {
    let named = model.files().read_optional(WORDS).map_err(PipelineError::from)?;
    let words = match named {
        Some(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let words = text.lines().map(str::trim).filter(|word| !word.is_empty());
            let words = words.map(|word| Ok((tokenizer.initializer_id(word)?, word.to_string())));
            words.collect::<Result<_, TokenizerError>>()?
        }
        None => tokenizer.words(),
    };
    match words.len() {
        0 => Err(SessionError::NoWords),
        count if count > MOST_TRIED => {
            Err(SessionError::TooManyWords { words: count, most: MOST_TRIED })
        }
        _ => Ok(words),
    }
}

impl InitialVectors {
    fn len(&self) -> usize {
        match self {
            Self::Tokens(ids) => ids.len(),
            Self::Learned(vectors) => vectors.num_vectors(),
        }
    }
}

/// The tokens of a run, checked against a model's tokenizer before anything is loaded.
#[derive(Debug)]
pub struct Tokens {
    pub(super) tokenizer: PromptTokenizer,
    pub(super) placeholder_ids: Vec<u32>,
    pub(super) initial: InitialVectors,
}

impl Tokens {
    /// Registers the placeholder, whose vectors start at `initial`.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Tokenizer`] if the placeholder cannot be a new token,
    /// [`SessionError::InitialWidth`] or [`SessionError::TooManyVectors`] if the start has another
    /// width or more vectors than asked for.
    pub fn new(
        config: &TrainConfig,
        model: &ModelFolder,
        initial: InitialVectors,
    ) -> Result<Self, SessionError> {
        let mut tokenizer = model.tokenizer()?;
        let num_vectors = config.num_vectors.unwrap_or(initial.len());
        if initial.len() > num_vectors {
            let given = initial.len();
            return Err(SessionError::TooManyVectors { given, allowed: num_vectors });
        }
        if let InitialVectors::Learned(vectors) = &initial
            && vectors.dim() != model.embedding_dim()
        {
            let (dim, expected) = (vectors.dim(), model.embedding_dim());
            return Err(SessionError::InitialWidth { dim, expected });
        }
        let placeholder_ids = tokenizer
            .add_placeholder(&config.placeholder_token, num_vectors)
            .map_err(PipelineError::from)?;
        Ok(Self { tokenizer, placeholder_ids, initial })
    }

    /// How many vectors the concept is made of.
    pub fn num_vectors(&self) -> usize {
        self.placeholder_ids.len()
    }
}
