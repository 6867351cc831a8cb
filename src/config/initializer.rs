//! Where the vectors start, checked.

use std::path::PathBuf;

use super::{ConfigError, InitStrategy, TrainOptions, range::required};

/// Where the vectors start.
#[derive(Clone, Debug, PartialEq)]
pub enum Initializer {
    /// At a known word.
    Token(String),
    /// At the tokens of a text.
    Text(String),
    /// At a learned embedding.
    File(PathBuf),
    /// At a token drawn from the seed.
    Random,
    /// At the token that CLIP finds nearest to the pictures.
    Best,
    /// At the token that CLIP finds farthest from them.
    Worst,
    /// At the word from which the deterministic loss is lowest before any training.
    LowestLoss,
}

impl Initializer {
    pub(super) fn new(o: &TrainOptions) -> Result<Self, ConfigError> {
        let strategy = o.start.init_strategy.unwrap_or(
            match (&o.start.initializer_text, &o.start.initializer_file) {
                (_, Some(_)) => InitStrategy::File,
                (Some(_), None) => InitStrategy::Text,
                (None, None) => InitStrategy::Token,
            },
        );
        let token = "a known word such as `cat`, unless `init_strategy` names another start";
        Ok(match strategy {
            InitStrategy::Token => Self::Token(required(
                "initializer_token",
                o.start.initializer_token.clone(),
                token,
            )?),
            InitStrategy::Text => Self::Text(required(
                "initializer_text",
                o.start.initializer_text.clone(),
                "the text that the vectors start from",
            )?),
            InitStrategy::File => Self::File(required(
                "initializer_file",
                o.start.initializer_file.clone(),
                "the learned embedding that the vectors start from",
            )?),
            InitStrategy::Random => Self::Random,
            InitStrategy::Best => Self::Best,
            InitStrategy::Worst => Self::Worst,
            InitStrategy::LowestLoss => Self::LowestLoss,
        })
    }
}
