//! Which option the errors of other layers name, by its name in a configuration file.

use crate::config::ConfigError;

impl ConfigError {
    /// The option that is missing or wrong, where it is one.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            // named by its flag
            Self::Missing { flag, .. } => Some(match *flag {
                "class-prompt" => "class_prompt",
                "initializer-file" => "initializer_file",
                "initializer-text" => "initializer_text",
                "initializer-token" => "initializer_token",
                "placeholder-token" => "placeholder_token",
                "train-data-dir" => "train_data_dir",
                option => option,
            }),
            Self::OutOfRange { option, .. } => Some(option),
            Self::Criterion(error) => error.option(),
            Self::Unparsable { .. } => None,
        }
    }
}
