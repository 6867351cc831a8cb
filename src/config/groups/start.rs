//! Where the vectors start.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
use super::Switch;
use crate::config::InitStrategy;

/// Where the vectors start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct StartOptions {
    /// Known word that the concept starts from, such as `cat`
    #[cfg_attr(feature = "cli", arg(long, value_name = "WORD"))]
    pub initializer_token: Option<String>,
    /// Text that the vectors start from, one vector for each of its tokens
    #[cfg_attr(feature = "cli", arg(long, value_name = "TEXT"))]
    pub initializer_text: Option<String>,
    /// Learned embedding that the vectors start from
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub initializer_file: Option<PathBuf>,
    /// What the vectors start from: `token`, `text` or `file`, as the options above give them;
    /// `random`, a random token; `best` or `worst`, the token that CLIP finds nearest to the
    /// pictures or farthest from them; `lowest-loss`, the word with the lowest deterministic loss
    /// [default: as an initializer is given; where none is and the model names its words in a
    /// `words.txt`, lowest-loss]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW"))]
    pub init_strategy: Option<InitStrategy>,
    /// Vectors that the concept is made of [default: those of a text or a file that they start from,
    /// else 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub num_vectors: Option<usize>,
    /// Also save the vectors as they were before training
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub save_init_embeds: Option<bool>,
}

impl StartOptions {
    /// Whether nothing says where the vectors start.
    pub fn is_open(&self) -> bool {
        self.init_strategy.is_none()
            && self.initializer_token.is_none()
            && self.initializer_text.is_none()
            && self.initializer_file.is_none()
    }

    /// The word that the vectors start from, where it is named here: one that stands beside another
    /// `init_strategy` is not asked for.
    pub fn word(&self) -> Option<&str> {
        let starts = matches!(self.init_strategy, None | Some(InitStrategy::Token));
        self.initializer_token.as_deref().filter(|_| starts)
    }

    /// These as they lie under others: where those name another start, nothing is left of this one.
    pub(in crate::config) fn under(&self, others: &Self) -> Self {
        if others.is_open() || others.init_strategy.is_some() {
            return self.clone();
        }
        let Self { num_vectors, save_init_embeds, .. } = *self;
        Self { num_vectors, save_init_embeds, ..Self::default() }
    }

    /// Those that a page has: no files.
    pub(in crate::config) fn on_page(self) -> Self {
        Self { initializer_file: None, save_init_embeds: None, ..self }
    }
}
