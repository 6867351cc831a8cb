//! What a container holds.

use super::{
    super::{EncoderVectors, FileProblem},
    names::Meaning,
};

/// The most values of one tensor: 64 MiB as f32, a thousand times a usual embedding.
const MOST_VALUES: usize = (64 << 20) / 4;

/// The most text encoders: several times as many as any model has, so that a small file which names one
/// tensor many times costs no memory.
const MOST_ENCODERS: usize = 8;

/// What a container holds, before the checks of
/// [`LearnedEmbedding::for_encoders`](super::super::LearnedEmbedding::for_encoders).
pub(super) struct Contents {
    /// None where the file's name is the token.
    pub token: Option<String>,
    pub encoders: Vec<EncoderVectors>,
    pub num_vectors: usize,
}

/// Rows of one tensor.
pub(super) struct Rows {
    pub values: Vec<f32>,
    pub count: usize,
    pub dim: usize,
}

impl Contents {
    /// The tensors that are meant, each read by its name.
    pub fn gather(
        meaning: Meaning,
        mut read: impl FnMut(&str) -> Result<Rows, FileProblem>,
    ) -> Result<Self, FileProblem> {
        if let [(_, first), (_, second), ..] = &meaning.tensors[..]
            && meaning.tensors.len() > MOST_ENCODERS
        {
            return Err(FileProblem::SeveralTokens {
                count: meaning.tensors.len(),
                first: first.clone(),
                second: second.clone(),
            });
        }
        let (mut encoders, mut counts) = (Vec::new(), Vec::new());
        for (key, name) in meaning.tensors {
            let Rows { values, count, dim } = read(&name)?;
            counts.push(count);
            encoders.push(EncoderVectors { key, values, dim });
        }
        match counts[..] {
            [num_vectors, ref others @ ..] if others.iter().all(|count| *count == num_vectors) => {
                Ok(Self { token: meaning.token, encoders, num_vectors })
            }
            [] => Err(FileProblem::NoTensor),
            _ => Err(FileProblem::UnlikeEncoders { counts }),
        }
    }
}

/// `[num_vectors, dim]` of a tensor's shape, before its values are read. Old diffusers files hold a
/// single vector as `[dim]`, and some tools put a dimension of one before the others.
pub(super) fn size(shape: &[usize]) -> Result<(usize, usize), FileProblem> {
    let ones = shape.iter().take(shape.len().saturating_sub(2)).take_while(|side| **side == 1);
    match shape[ones.count()..] {
        [count, dim] if count.saturating_mul(dim) > MOST_VALUES => Err(FileProblem::TooLarge),
        [dim] if dim > MOST_VALUES => Err(FileProblem::TooLarge),
        [dim] if dim > 0 => Ok((1, dim)),
        [count, dim] if count > 0 && dim > 0 => Ok((count, dim)),
        _ => Err(FileProblem::Shape { shape: shape.to_vec() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_last_two_dimensions_and_others_must_be_one() {
        assert_eq!(size(&[8]).unwrap(), (1, 8));
        assert_eq!(size(&[3, 8]).unwrap(), (3, 8));
        assert_eq!(size(&[1, 3, 8]).unwrap(), (3, 8));
        assert_eq!(size(&[1, 8]).unwrap(), (1, 8));
        for shape in [&[][..], &[2, 3, 8], &[0, 8], &[8, 0], &[3, 1, 8]] {
            assert!(matches!(size(shape), Err(FileProblem::Shape { .. })), "{shape:?}");
        }
        for shape in [&[usize::MAX][..], &[usize::MAX, 2], &[49408, 768]] {
            assert!(matches!(size(shape), Err(FileProblem::TooLarge)), "{shape:?}");
        }
    }
}
