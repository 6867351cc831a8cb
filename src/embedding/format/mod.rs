//! Reading and writing learned embeddings, from bytes to bytes.
//!
//! Read: safetensors and PyTorch files (zip, and the older bare pickles) of diffusers
//! (`{token: tensor}`), AUTOMATIC1111 (`string_to_param`), kohya (`emb_params`) and OneTrainer
//! (`emp_params`). Written: the safetensors file of diffusers, which all of them read; for several
//! text encoders, one with a tensor for each, under its name.

mod safetensors;
mod torch;

use std::path::Path;

use burn::tensor::DType;
use half::{bf16, f16};

pub use self::safetensors::write;
use super::{EmbeddingError, EncoderVectors, LearnedEmbedding};

/// The largest file that [`read`] accepts, in bytes: 64 MiB, a thousand times a usual embedding.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// Keys that name a format, not a token: kohya's, and OneTrainer's as it spells it.
const NAMELESS_KEYS: [&str; 2] = ["emb_params", "emp_params"];

/// Reads a learned embedding from the whole content of a file.
///
/// The container is told by its content. `file_name` appears in errors, and its stem becomes the
/// placeholder token where the format stores none. Values are converted to f32.
///
/// # Errors
/// If the file is over [`MAX_FILE_BYTES`], damaged, of another kind, made for two text encoders
/// (SDXL), or holds more than one token or a value that is not finite.
pub fn read(bytes: &[u8], file_name: &str) -> Result<LearnedEmbedding, EmbeddingError> {
    let in_file = |problem| EmbeddingError::File { file: file_name.into(), problem };
    let found = find(bytes).map_err(in_file)?;
    let stem = || Path::new(file_name).file_stem().unwrap_or_default().to_string_lossy().into();
    let token = found.name.unwrap_or_else(stem);
    LearnedEmbedding::for_encoders(token, found.encoders, found.num_vectors)
        .map_err(|invalid| in_file(FileProblem::Invalid(Box::new(invalid))))
}

/// What a container holds, before the checks of [`LearnedEmbedding::for_encoders`].
struct Found {
    name: Option<String>,
    encoders: Vec<EncoderVectors>,
    num_vectors: usize,
}

impl Found {
    /// Vectors for the only text encoder.
    fn single(name: Option<String>, values: Vec<f32>, (num_vectors, dim): (usize, usize)) -> Self {
        Self { name, encoders: vec![EncoderVectors { key: None, values, dim }], num_vectors }
    }
}

fn find(bytes: &[u8]) -> Result<Found, FileProblem> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(FileProblem::TooLarge);
    }
    // A safetensors file is the length of its JSON header, then the header; no PyTorch file can
    // have a brace as its ninth byte.
    if bytes.get(8) == Some(&b'{') { safetensors::find(bytes) } else { torch::find(bytes) }
}

/// The only key of an embedding file, or why there is no such key.
fn only_key(mut keys: Vec<&str>) -> Result<&str, FileProblem> {
    if keys.iter().any(|key| ["clip_l", "clip_g"].contains(key)) {
        return Err(FileProblem::TwoTextEncoders);
    }
    keys.sort_unstable();
    match keys[..] {
        [key] => Ok(key),
        [] => Err(FileProblem::NoTensor),
        [first, second, ..] => Err(FileProblem::SeveralTokens {
            count: keys.len(),
            first: first.into(),
            second: second.into(),
        }),
    }
}

/// The token that a key stands for; none where the format leaves naming to the file.
fn token_of(key: &str) -> Option<String> {
    (!NAMELESS_KEYS.contains(&key)).then(|| key.into())
}

/// `[num_vectors, dim]` of a tensor's shape; old diffusers files hold a single vector as `[dim]`.
fn rows(shape: &[usize]) -> Result<(usize, usize), FileProblem> {
    match *shape {
        [dim] if dim > 0 => Ok((1, dim)),
        [num_vectors, dim] if num_vectors > 0 && dim > 0 => Ok((num_vectors, dim)),
        _ => Err(FileProblem::Shape { shape: shape.to_vec() }),
    }
}

/// The number types that an embedding may be stored in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Element {
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    /// Converts little-endian values; bytes that are left over are not read.
    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Element::F16 => convert(bytes, |value| f16::from_le_bytes(value).to_f32()),
            Element::Bf16 => convert(bytes, |value| bf16::from_le_bytes(value).to_f32()),
            Element::F32 => convert(bytes, f32::from_le_bytes),
            Element::F64 => convert(bytes, |value| f64::from_le_bytes(value) as f32),
        }
    }
}

impl TryFrom<DType> for Element {
    type Error = FileProblem;

    fn try_from(dtype: DType) -> Result<Self, FileProblem> {
        match dtype {
            DType::F16 => Ok(Element::F16),
            DType::BF16 => Ok(Element::Bf16),
            DType::F32 => Ok(Element::F32),
            DType::F64 => Ok(Element::F64),
            other => Err(FileProblem::Element(format!("{other:?}"))),
        }
    }
}

fn convert<const SIZE: usize>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().copied().map(value).collect()
}

/// What is wrong with an embedding file.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// Over [`MAX_FILE_BYTES`].
    #[error("it is over {} MiB, so it is a model and not an embedding", MAX_FILE_BYTES >> 20)]
    TooLarge,
    /// Neither safetensors nor a PyTorch file.
    #[error(
        "it is neither a safetensors nor a PyTorch file, give a `learned_embeds.safetensors`, \
         `.bin` or `.pt`"
    )]
    UnknownContainer,
    /// The safetensors header or the length of the file is wrong.
    #[error("its safetensors content is damaged or cut off ({0}), copy the file again")]
    Safetensors(#[from] ::safetensors::SafeTensorError),
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
    /// The vectors belong to the two text encoders of SDXL.
    #[error(
        "it was made for SDXL's two text encoders (`clip_l`, `clip_g`), give one made for a model \
         with one text encoder"
    )]
    TwoTextEncoders,
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
    /// The tensor is not `[dim]` or `[num_vectors, dim]`.
    #[error("its tensor has shape {shape:?}, an embedding has [dim] or [num_vectors, dim]")]
    Shape {
        /// The shape as stored.
        shape: Vec<usize>,
    },
    /// A number type that embeddings are not stored in.
    #[error("its values are stored as {0}, save it again as float32")]
    Element(String),
    /// Read, but refused by [`LearnedEmbedding::for_encoders`].
    #[error("{0}")]
    Invalid(Box<EmbeddingError>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_and_double_values_become_the_nearest_f32() {
        assert_eq!(Element::F16.decode(&[0x00, 0x3c, 0x00, 0xc0]), [1.0, -2.0]);
        assert_eq!(Element::Bf16.decode(&[0x80, 0x3f, 0x49, 0x40]), [1.0, 3.140625]);
        assert_eq!(Element::F64.decode(&0.1_f64.to_le_bytes()), [0.1]);
    }

    #[test]
    fn only_shapes_of_rank_one_and_two_are_vectors() {
        assert_eq!(rows(&[8]).unwrap(), (1, 8));
        assert_eq!(rows(&[3, 8]).unwrap(), (3, 8));
        assert!(rows(&[]).is_err() && rows(&[1, 3, 8]).is_err() && rows(&[0, 8]).is_err());
    }

    #[test]
    fn a_file_over_the_limit_is_refused_unread() {
        let problem = find(&vec![b'{'; MAX_FILE_BYTES + 1]).err();
        assert!(matches!(problem, Some(FileProblem::TooLarge)));
    }
}
