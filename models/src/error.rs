//! What can be wrong with a model folder.

/// Why a model could not be read. Each message names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file that the model needs is not there.
    #[error("the model lacks `{file}`; {remedy}")]
    MissingFile {
        /// Where it was looked for.
        file: String,
        /// What to do.
        remedy: String,
    },
    /// A file could not be read.
    #[error("cannot read `{file}`: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// The operating system's words.
        reason: String,
    },
    /// A download from the Hugging Face Hub failed, which may succeed another time.
    #[error("cannot download `{file}` from the Hugging Face Hub: {reason}; {remedy}")]
    Download {
        /// The repository, or a file of it.
        file: String,
        /// The client's words.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A file is there, but is not what it should be.
    #[error("`{file}` is not usable: {reason}")]
    Invalid {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A configuration asks for something that dvar does not build.
    #[error("`{file}`: {key} = {value} is not supported; dvar reads {supported}")]
    Unsupported {
        /// The configuration file.
        file: String,
        /// Its key.
        key: String,
        /// The value found.
        value: String,
        /// What would be accepted.
        supported: String,
    },
    /// Weights and configuration do not agree.
    #[error("the weights in `{file}` do not fit `{config}`: {problems}")]
    Weights {
        /// The weight file.
        file: String,
        /// The configuration that says what was expected.
        config: String,
        /// The first few tensors that are missing, unexpected or of another shape.
        problems: String,
    },
}
