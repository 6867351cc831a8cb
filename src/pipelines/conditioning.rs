//! What the denoiser is told of a text.

use burn::tensor::Tensor;

/// What a family's text encoders make of a batch of texts, as its denoiser takes it.
#[derive(Clone, Debug)]
pub struct Conditioning {
    /// Of all text encoders side by side, `[batch_size, length, width]`.
    pub hidden_states: Tensor<3>,
}

impl Conditioning {
    /// Batches one behind the other.
    pub(super) fn cat(batches: Vec<Self>) -> Self {
        let states = batches.into_iter().map(|batch| batch.hidden_states).collect();
        Self { hidden_states: Tensor::cat(states, 0) }
    }

    /// Parts of the same texts, one behind the other; there is at least one.
    pub(super) fn joined(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let states = parts.into_iter().map(|part| part.hidden_states).collect();
        Self { hidden_states: Tensor::cat(states, 1) }
    }
}
