//! Where the concept's vectors start, and the tokens that stand for them.

use std::path::Path;

use super::{SessionError, captions};
use crate::{
    config::{Initializer, TrainConfig},
    embedding::LearnedEmbedding,
    pipelines::{ModelFolder, PipelineError, PromptIds, PromptTokenizers},
    rng::{Purpose, Stream},
};

/// The file of a model's folder with the words that it was trained on, one on a line.
pub const WORDS: &str = "words.txt";

/// Each word costs at least a part of an evaluation: of so many, a run still begins soon.
const MOST_TRIED: usize = 2048;

/// Where the vectors start, with nothing left to look up.
#[derive(Clone, Debug, PartialEq)]
pub enum InitialVectors {
    /// Rows of the token tables, repeated in turn to as many vectors as there are.
    Tokens(PromptIds),
    /// Given vectors.
    Learned(LearnedEmbedding),
}

/// Where the vectors start, as far as it is known before a network is loaded.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Start {
    /// All is known.
    Known(InitialVectors),
    /// A token that chance chose, with its word.
    Drawn(PromptIds, String),
    /// The word is yet to be searched for in the vocabulary.
    Searched(Rank),
    /// The word is yet to be found by trying each of these.
    Tried(Vec<(PromptIds, String)>),
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
    /// Looks an initializer up in the tokenizers; `read` reads the learned embedding that is named,
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
        let tokenizers = model.tokenizers().map_err(SessionError::from)?;
        let token = |word: &str| {
            let ids = tokenizers.initializer_ids(word).map_err(SessionError::from);
            ids.map(InitialVectors::Tokens)
        };
        Ok(match &config.initializer {
            Initializer::Token(word) => Self::Known(token(word)?),
            Initializer::Text(text) => {
                let initial = InitialVectors::Tokens(tokenizers.token_ids(text));
                if initial.len() == 0 {
                    let (option, value) = ("initializer_text", format!("`{text}`"));
                    let expected = "a text of at least one token";
                    return Err(SessionError::OutOfRange { option, value, expected }.into());
                }
                Self::Known(initial)
            }
            Initializer::Random => {
                let words = tokenizers.words();
                let drawn = Stream::new(config.seed, Purpose::Initialization, 0).below(words.len());
                let word = words.get(drawn).cloned().ok_or(SessionError::NoWords)?;
                let ids = tokenizers.initializer_ids(&word).map_err(SessionError::from)?;
                Self::Drawn(ids, word)
            }
            Initializer::File(file) => Self::Known(InitialVectors::Learned(read(file)?)),
            Initializer::Best => Self::Searched(Rank::Best),
            Initializer::Worst => Self::Searched(Rank::Worst),
            Initializer::LowestLoss => Self::Tried(words_to_try(model, &tokenizers)?),
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
    tokenizers: &PromptTokenizers,
) -> Result<Vec<(PromptIds, String)>, SessionError> {
    let named = model.files().read_optional(WORDS).map_err(PipelineError::from)?;
    let words: Vec<String> = match named {
        Some(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let words = text.lines().map(str::trim).filter(|word| !word.is_empty());
            words.map(String::from).collect()
        }
        None => tokenizers.words(),
    };
    match words.len() {
        0 => return Err(SessionError::NoWords),
        words if words > MOST_TRIED => {
            return Err(SessionError::TooManyWords { words, most: MOST_TRIED });
        }
        _ => {}
    }
    let with_ids = words.into_iter().map(|word| match tokenizers.initializer_ids(&word) {
        Ok(ids) => Ok((ids, word)),
        Err(error) => {
            let problem = format!("its `{WORDS}` names `{word}`, and {error}");
            Err(PipelineError::Mismatch { model: model.name().into(), problem })
        }
    });
    Ok(with_ids.collect::<Result<_, PipelineError>>()?)
}

impl InitialVectors {
    /// The first token of each text encoder, for whoever asks only how many vectors there are.
    pub(crate) fn first_token(model: &ModelFolder) -> Self {
        Self::Tokens(PromptIds(vec![vec![0]; model.embedding_widths().0.len()]))
    }

    fn len(&self) -> usize {
        match self {
            Self::Tokens(ids) => ids.0.iter().map(Vec::len).max().unwrap_or(0),
            Self::Learned(vectors) => vectors.num_vectors(),
        }
    }
}

/// The tokens of a run, checked against a model's tokenizers before anything is loaded.
#[derive(Debug)]
pub struct Tokens {
    pub(super) tokenizers: PromptTokenizers,
    pub(super) initial: InitialVectors,
}

impl Tokens {
    /// Registers the placeholder, whose vectors start at `initial`.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Tokenizer`] if the placeholder cannot be a new token,
    /// [`SessionError::InitialWidth`] or [`SessionError::TooManyVectors`] if the start has another
    /// width or more vectors than asked for, [`SessionError::NoRoomForVectors`] if a caption cannot
    /// hold them all.
    pub fn new(
        config: &TrainConfig,
        model: &ModelFolder,
        initial: InitialVectors,
    ) -> Result<Self, SessionError> {
        let mut tokenizers = model.tokenizers()?;
        let num_vectors = config.num_vectors.unwrap_or(initial.len());
        if initial.len() > num_vectors {
            let given = initial.len();
            return Err(SessionError::TooManyVectors { given, allowed: num_vectors });
        }
        if let InitialVectors::Learned(vectors) = &initial
            && !vectors.widths().fit(&model.embedding_widths())
        {
            let (widths, expected) = (vectors.widths(), model.embedding_widths());
            return Err(SessionError::InitialWidth { widths, expected });
        }
        tokenizers
            .add_placeholder(&config.placeholder_token, num_vectors)
            .map_err(PipelineError::from)?;
        captions::shared(config, &tokenizers)?;
        Ok(Self { tokenizers, initial })
    }

    /// How many vectors the concept is made of.
    pub fn num_vectors(&self) -> usize {
        self.tokenizers.num_vectors()
    }
}
