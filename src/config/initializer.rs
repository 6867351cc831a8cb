//! Where the vectors start, checked.

use std::path::PathBuf;

use super::{ConfigError, InitStrategy, StartOptions, TrainOptions, range::required};

/// Where the vectors start.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
        if o.start.init_strategy.is_none() {
            check_is_one(&o.start)?;
        }
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

/// Refuses a second start, of which one would be left out without a word.
fn check_is_one(start: &StartOptions) -> Result<(), ConfigError> {
    let StartOptions { initializer_token, initializer_text, initializer_file, .. } = start;
    let file = initializer_file.as_ref().map(|file| file.display().to_string());
    let given = [
        ("initializer_token", initializer_token.clone()),
        ("initializer_text", initializer_text.clone()),
        ("initializer_file", file),
    ];
    let expected = "the only one of `initializer_token`, `initializer_text` and `initializer_file`";
    let mut given = given.into_iter().filter_map(|(option, value)| {
        value.map(|value| ConfigError::OutOfRange { option, value, expected })
    });
    given.next();
    given.next().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_starts_none_is_left_out_without_a_word() {
        let mut options = TrainOptions::default();
        options.start.initializer_token = Some("cat".into());
        assert_eq!(Initializer::new(&options).unwrap(), Initializer::Token("cat".into()));
        options.start.initializer_text = Some("a dog".into());
        let refused = Initializer::new(&options).unwrap_err();
        assert_eq!(refused.option(), Some("initializer_text"));
        options.start.init_strategy = Some(InitStrategy::Token);
        assert_eq!(Initializer::new(&options).unwrap(), Initializer::Token("cat".into()));
    }
}
