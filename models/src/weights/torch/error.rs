//! What can be wrong with a PyTorch file.

/// What is said of a learned embedding where a model was asked for.
pub const IS_EMBEDDING: &str =
    "it is a learned embedding and no model; give the model that it is for";

/// Why a PyTorch file was refused. Each message continues "`file` is not usable: ".
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// Neither of the containers of `torch.save`.
    #[error("it is no file of `torch.save`, or it is cut off; fetch it again")]
    Container,
    /// The operating system could not read it.
    #[error("it cannot be read ({0})")]
    Io(#[from] std::io::Error),
    /// The zip archive cannot be read, or its checksums do not fit.
    #[error("its zip archive is damaged or cut off ({0}); fetch it again")]
    Zip(String),
    /// An archive that another program packed. Nothing was unpacked.
    #[error(
        "its zip archive is compressed or encrypted, as `torch.save` leaves none; save it again \
         with `torch.save`"
    )]
    Repacked,
    /// The pickle or the layout of the data behind it is wrong.
    #[error("its pickle is damaged or cut off ({0}); fetch it again")]
    Pickle(&'static str),
    /// One tensor's view of its data is wrong.
    #[error("its tensor `{name}` is damaged or cut off ({reason}); fetch it again")]
    Tensor {
        /// The tensor's name in the file.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A Python object that tensors do not need. Nothing was run.
    #[error(
        "it asks for the Python object `{0}`, which no weights need and which was not run; give \
         the weights of one network, from a source that you trust"
    )]
    ForeignGlobal(String),
    /// Something beside tensors in a dictionary of weights.
    #[error(
        "its entry `{0}` is no tensor; give the weights of one network, as diffusers or \
         transformers save them"
    )]
    NoTensor(String),
    /// Not a dictionary at all.
    #[error(
        "it holds no dictionary of tensors; give the weights of one network, as diffusers or \
         transformers save them"
    )]
    NoDictionary,
    /// A type of numbers that is not read.
    #[error(
        "its numbers have 8 bits (fp8) or another type that is not read; give a file in f32, f16 or \
         bf16"
    )]
    Type,
    /// A learned embedding, where the weights of a network were asked for.
    #[error("{IS_EMBEDDING}")]
    Embedding,
    /// Written on a big-endian machine.
    #[error("its numbers are big-endian; save it again on another machine")]
    BigEndian,
    /// Tensors that repeat a few values until they are larger than their file.
    #[error("it holds tensors that are far larger than the file; fetch it again")]
    TooLarge,
}
