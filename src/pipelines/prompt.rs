//! Texts to hidden states, with the learned vectors in the placeholder's places.

use burn::tensor::{Device, Int, Tensor, TensorData};
use dvar_models::tokenizer::PromptTokenizer;

use super::{ModelFamily, TextEncoder};

/// Encodes prompts; the placeholder's rows of the token table are never looked up, but given.
#[derive(Debug)]
pub struct PromptEncoder {
    tokenizer: PromptTokenizer,
    text_encoder: TextEncoder,
    placeholder_ids: Vec<u32>,
}

/// Tokenised prompts, prepared so that encoding them again costs no look-up.
#[derive(Clone, Debug)]
pub struct Prompts {
    /// Rows of the frozen table, zero at the placeholder: `[batch_size, length, width]`
    frozen: Tensor<3>,
    /// Which learned vector stands where, one-hot: `[batch_size * length, num_vectors]`
    placement: Tensor<2>,
}

impl PromptEncoder {
    /// `placeholder_ids` are the ids of the learned vectors, in order; empty without a concept.
    pub fn new(
        tokenizer: PromptTokenizer,
        text_encoder: TextEncoder,
        placeholder_ids: Vec<u32>,
    ) -> Self {
        Self { tokenizer, text_encoder, placeholder_ids }
    }

    /// The tokenizer, which knows the placeholder.
    pub fn tokenizer(&self) -> &PromptTokenizer {
        &self.tokenizer
    }

    /// The frozen token table, `[vocab_size, width]`.
    pub fn token_table(&self) -> Tensor<2> {
        self.text_encoder.token_table()
    }

    /// The family of the text encoder.
    pub fn family(&self) -> ModelFamily {
        self.text_encoder.family()
    }

    /// Tokenises a prompt that is drawn: begin, text (cut where too long), end, padding.
    pub fn tokenize(&self, prompt: &str) -> Vec<u32> {
        self.tokenizer.encode(prompt, self.tokenizer.positions())
    }

    /// Tokenises a training caption: the same but for LDM's long ones, which lose their end as in
    /// the official code.
    pub fn tokenize_caption(&self, caption: &str) -> Vec<u32> {
        self.tokenizer.encode_caption(caption)
    }

    /// Looks up what is frozen.
    ///
    /// `input_ids` are texts of one length, on the placeholder's ids or the vocabulary's.
    pub fn prepare(&self, input_ids: &[Vec<u32>]) -> Prompts {
        let device = self.device();
        let (batch_size, length) = (input_ids.len(), input_ids.first().map_or(0, Vec::len));
        let vectors = self.placeholder_ids.len().max(1);
        let mut ids = Vec::with_capacity(batch_size * length);
        let mut keep = Vec::with_capacity(batch_size * length);
        let mut placement = vec![0.0_f32; batch_size * length * vectors];
        for (position, id) in input_ids.iter().flatten().enumerate() {
            match self.placeholder_ids.iter().position(|placeholder| placeholder == id) {
                Some(vector) => {
                    placement[position * vectors + vector] = 1.0;
                    ids.push(0);
                    keep.push(0.0_f32);
                }
                None => {
                    ids.push(*id as i32);
                    keep.push(1.0);
                }
            }
        }
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [batch_size, length]), &device);
        let keep = Tensor::<3>::from_data(TensorData::new(keep, [batch_size, length, 1]), &device);
        let shape = [batch_size * length, vectors];
        Prompts {
            frozen: self.text_encoder.token_embeddings(ids) * keep,
            placement: Tensor::from_data(TensorData::new(placement, shape), &device),
        }
    }

    /// Hidden states of the prompts under the given vectors. Tracked vectors give a tracked
    /// result; plain ones a plain result.
    ///
    /// # Shapes
    ///
    /// - vectors: `[num_vectors, width]`
    /// - output: `[batch_size, length, width]`
    pub fn encode(&self, prompts: &Prompts, vectors: &Tensor<2>) -> Tensor<3> {
        self.text_encoder.forward(substitute(prompts, vectors))
    }

    /// What goes into the first layer and what comes out of each, `[batch_size, length, width]`.
    /// The last is before the final normalisation with CLIP and after it with LDM, as transformers
    /// and diffusers give them.
    pub fn hidden_states(&self, prompts: &Prompts, vectors: &Tensor<2>) -> Vec<Tensor<3>> {
        self.text_encoder.hidden_states(substitute(prompts, vectors))
    }

    fn device(&self) -> Device {
        self.text_encoder.token_table().device()
    }
}

/// Token embeddings with the vectors in the placeholder's places.
fn substitute(prompts: &Prompts, vectors: &Tensor<2>) -> Tensor<3> {
    let learned = prompts.placement.clone().matmul(vectors.clone());
    prompts.frozen.clone() + learned.reshape(prompts.frozen.shape())
}
