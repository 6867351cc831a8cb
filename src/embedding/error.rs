//! Why an embedding cannot be made, read or used.

use dvar_callbacks::TrainError;

use crate::{pipelines::EmbeddingWidths, tensor::DeviceError};

/// What is to be done with what another model learned; a page has no flags.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const TAKE_ITS_MODEL: &str = "give the `--model` that it was trained with";
#[cfg(target_arch = "wasm32")]
pub(crate) const TAKE_ITS_MODEL: &str =
    "drop the checkpoint that it was trained with on the page first";

/// Why an embedding cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddingError {
    /// The token is empty, white space alone or reserved by the file format.
    #[error("{token:?} cannot be a placeholder token, choose one such as `<my-concept>`")]
    Token {
        /// The token as given.
        token: String,
    },
    /// The number of values is 0 or not `num_vectors * dim`.
    #[error(
        "the embedding of `{token}` has {values} values, {num_vectors} vectors of width {dim} need \
         exactly their product and at least one"
    )]
    Size {
        /// The placeholder token.
        token: String,
        /// How many values were given.
        values: usize,
        /// How many vectors were stated.
        num_vectors: usize,
        /// The width that was stated.
        dim: usize,
    },
    /// Files could not tell its text encoders apart.
    #[error(
        "the embedding of `{token}` needs a name of its own for each text encoder, such as `clip_l` and \
         `clip_g`, and none may be `__metadata__`"
    )]
    Keys {
        /// The placeholder token.
        token: String,
    },
    /// A value is NaN or infinite.
    #[error(
        "vector {vector} of the embedding of `{token}` holds a value that is not finite, train it \
         again with a lower learning rate"
    )]
    NotFinite {
        /// The placeholder token.
        token: String,
        /// The first vector with such a value, counted from 0.
        vector: usize,
    },
    /// The vectors are for a text encoder of another width.
    #[error(
        "the embedding of `{token}` is {widths} wide, {model} takes {expected}; {TAKE_ITS_MODEL}"
    )]
    Width {
        /// The placeholder token.
        token: String,
        /// The widths of its vectors.
        widths: EmbeddingWidths,
        /// The model that they were to be used with.
        model: String,
        /// The widths that this model takes.
        expected: EmbeddingWidths,
    },
    /// A file is not a learned embedding that this crate can use.
    #[error("cannot read the learned embedding `{file}`: {problem}")]
    File {
        /// The name of the file as given to [`read`](super::read).
        file: String,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// The device failed while the initial vectors were read from it.
    #[error("{0}")]
    Device(#[from] DeviceError),
}

/// What is wrong with an embedding file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// The system cannot read it.
    #[error("it cannot be read ({0})")]
    Io(#[from] std::io::Error),
    /// A tensor of more than 64 MiB.
    #[error("its vectors are over 64 MiB, so it is a model's table and not an embedding")]
    TooLarge,
    /// Neither safetensors nor a PyTorch file.
    #[error(
        "it is neither a safetensors nor a PyTorch file, give a `learned_embeds.safetensors`, \
         `.bin` or `.pt`"
    )]
    UnknownContainer,
    /// What git leaves in the place of a large file that was not fetched.
    #[error("it is a pointer of git LFS and not the file itself, fetch that with `git lfs pull`")]
    LfsPointer,
    /// A page that was saved in place of the file.
    #[error("it is a web page, download the file that the page links to")]
    WebPage,
    /// A picture without an embedding, or with one that cannot be read.
    #[error("{0}")]
    Picture(String),
    /// The safetensors header or the length of the file is wrong.
    #[error("{0}")]
    Safetensors(String),
    /// The zip archive cannot be read.
    #[error("its zip archive is damaged or cut off ({0}), copy the file again")]
    Zip(String),
    /// The pickle or the tensor data behind it cannot be read.
    #[error("its pickle is damaged, cut off or not that of an embedding ({0})")]
    Pickle(&'static str),
    /// The pickle asks for a Python object that no embedding needs; nothing was run.
    #[error(
        "it asks for the Python object {0:?}, which no embedding needs and which was not run, take \
         the embedding from a source that you trust"
    )]
    ForeignGlobal(String),
    /// The vectors of its text encoders are not equally many.
    #[error("its text encoders have {counts:?} vectors, and each must have as many as the others")]
    UnlikeEncoders {
        /// How many each has.
        counts: Vec<usize>,
    },
    /// A file of tensors that are no embedding.
    #[error("it is {kind}, of {count} tensors, and holds no embedding")]
    OtherKind {
        /// What it is.
        kind: &'static str,
        /// How many tensors it has.
        count: usize,
    },
    /// Vectors that take the place of what a text encoder gives.
    #[error(
        "its vectors `{0}` take the place of a text encoder's output, as OneTrainer's output \
         embeddings do, and here they go into its input; train it there with `Output embedding` off"
    )]
    OutputVectors(String),
    /// More than one tensor.
    #[error("it holds {count} tensors ({first:?}, {second:?} ..), give a file with one token")]
    SeveralTokens {
        /// How many.
        count: usize,
        /// The first name in alphabetical order.
        first: String,
        /// The second name.
        second: String,
    },
    /// No tensor under a token's name.
    #[error("it holds no tensor under a token's name, give a file that Textual Inversion wrote")]
    NoTensor,
    /// The tensor is not `[dim]` or `[num_vectors, dim]`, even without dimensions of one before these.
    #[error("its tensor has shape {shape:?}, an embedding has [dim] or [num_vectors, dim]")]
    Shape {
        /// The shape as stored.
        shape: Vec<usize>,
    },
    /// A number type that embeddings are not stored in.
    #[error("its values are stored as {0}, save it again as float32")]
    Element(String),
    /// Read, but refused by [`LearnedEmbedding::for_encoders`](super::LearnedEmbedding::for_encoders).
    #[error("{0}")]
    Invalid(Box<EmbeddingError>),
}

/// Where a trained tensor cannot be read.
impl From<EmbeddingError> for TrainError {
    fn from(error: EmbeddingError) -> Self {
        match error {
            EmbeddingError::Device(error) => Self::Device(error),
            other => Self::state(other),
        }
    }
}
