//! The text tower (transformers `CLIPTextModel`).

use burn::{
    module::Module,
    nn::{Embedding, EmbeddingConfig, LayerNorm, Linear},
    tensor::{Device, Int, Tensor, TensorData},
};

use super::{
    ClipTextConfig,
    encoder::{ClipEncoder, ClipEncoderConfig},
};
use crate::{
    layers::{layer_norm, linear},
    precision::widened,
    product,
    weights::{KeyMap, Network},
};

/// Added to the score of a later token: enough to make its weight exactly 0 in f32, and within
/// the range of f16, where -infinity has made NaNs on some GPUs.
const MASKED: f32 = -30_000.0;

#[derive(Module, Debug)]
struct ClipTextEmbeddings {
    token_embedding: Embedding,
    position_embedding: Embedding,
}

/// Tokens to hidden states. Created by [`ClipTextConfig::init`] inside a [`ClipTextModel`].
#[derive(Module, Debug)]
pub struct ClipTextTransformer {
    embeddings: ClipTextEmbeddings,
    encoder: ClipEncoder,
    final_layer_norm: LayerNorm,
    eos_token_id: usize,
}

/// The text tower as a model of its own, as in a Stable Diffusion folder.
#[derive(Module, Debug)]
pub struct ClipTextModel {
    /// The tower.
    pub text_model: ClipTextTransformer,
}

/// The text tower with the projection of its pooled state, as SDXL's second text encoder (transformers
/// `CLIPTextModelWithProjection`).
#[derive(Module, Debug)]
pub struct ClipTextModelWithProjection {
    /// The tower.
    pub text_model: ClipTextTransformer,
    text_projection: Linear,
}

/// transformers 5 saves the tower without its prefix.
const PREFIX: (&str, &str) = (r"^(embeddings|encoder|final_layer_norm)\.", "text_model.$1.");

/// A whole CLIP has the text tower in it.
impl Network for ClipTextModel {
    const KEYS: KeyMap = KeyMap {
        renames: &[PREFIX],
        unused: &[
            "position_ids",
            "logit_scale",
            "vision_model.",
            "visual_projection.",
            "text_projection.",
        ],
        ..KeyMap::SAME
    };
}

impl Network for ClipTextModelWithProjection {
    const KEYS: KeyMap = KeyMap {
        renames: &[PREFIX],
        unused: &["position_ids", "logit_scale", "vision_model.", "visual_projection."],
        ..KeyMap::SAME
    };
}

impl ClipTextConfig {
    pub(super) fn init_transformer(&self, device: &Device) -> ClipTextTransformer {
        let encoder = ClipEncoderConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            activation: self.hidden_act,
            epsilon: self.layer_norm_eps,
        };
        let table = |rows| EmbeddingConfig::new(rows, self.hidden_size).init(device);
        ClipTextTransformer {
            embeddings: ClipTextEmbeddings {
                token_embedding: table(self.vocab_size),
                position_embedding: table(self.max_position_embeddings),
            },
            encoder: encoder.init(device),
            final_layer_norm: layer_norm(self.hidden_size, self.layer_norm_eps, device),
            eos_token_id: self.eos_token_id,
        }
    }

    /// Builds the network with weights yet to be loaded.
    pub fn init(&self, device: &Device) -> ClipTextModel {
        ClipTextModel { text_model: self.init_transformer(device) }
    }

    /// The same with the projection of the pooled state.
    pub fn init_with_projection(&self, device: &Device) -> ClipTextModelWithProjection {
        ClipTextModelWithProjection {
            text_model: self.init_transformer(device),
            text_projection: linear(self.hidden_size, self.projection_dim, false, device),
        }
    }
}

impl ClipTextModelWithProjection {
    /// Hidden states before the last layer, and the projected state of each text at its end.
    ///
    /// # Shapes
    ///
    /// - token_embeddings: `[batch_size, length, hidden_size]`
    /// - ends: a place in each text
    /// - outputs: `[batch_size, length, hidden_size]`, `[batch_size, projection_dim]`
    pub fn forward(&self, token_embeddings: Tensor<3>, ends: &[usize]) -> (Tensor<3>, Tensor<2>) {
        let tower = &self.text_model;
        let (embeddings, mask) = tower.prepare(token_embeddings);
        let (states, last) = tower.encoder.penultimate_and_last(embeddings, Some(mask));
        let pooled = tower.final_layer_norm.forward(widened(at(last, ends)));
        let dtype = self.text_projection.weight.dtype();
        let projected = product::linear(&self.text_projection, pooled.cast(dtype));
        (widened(states), widened(projected).squeeze_dim(1))
    }
}

impl ClipTextTransformer {
    /// Rows of the token table. A learned token has none: substitute its vectors in the result.
    ///
    /// # Shapes
    ///
    /// - input_ids: `[batch_size, length]`, each below `vocab_size`
    /// - output: `[batch_size, length, hidden_size]`
    pub fn token_embeddings(&self, input_ids: Tensor<2, Int>) -> Tensor<3> {
        self.embeddings.token_embedding.forward(input_ids)
    }

    /// The whole token table, `[vocab_size, hidden_size]`.
    pub fn token_table(&self) -> Tensor<2> {
        self.embeddings.token_embedding.weight.val()
    }

    /// Hidden states after the final layer normalisation. Weights of a low type take the embeddings
    /// in f32 and give f32.
    ///
    /// # Shapes
    ///
    /// - token_embeddings: `[batch_size, length, hidden_size]`
    /// - output: the same
    pub fn forward(&self, token_embeddings: Tensor<3>) -> Tensor<3> {
        let (embeddings, mask) = self.prepare(token_embeddings);
        self.final_layer_norm.forward(widened(self.encoder.forward(embeddings, Some(mask))))
    }

    /// Hidden states before the last layer, without the final normalisation, as SDXL takes them.
    ///
    /// # Shapes
    ///
    /// As [`forward`](Self::forward)'s.
    pub fn penultimate(&self, token_embeddings: Tensor<3>) -> Tensor<3> {
        let (embeddings, mask) = self.prepare(token_embeddings);
        widened(self.encoder.penultimate(embeddings, Some(mask)))
    }

    /// The sum of token and position embeddings and every layer's output, before the final
    /// normalisation; each `[batch_size, length, hidden_size]`.
    pub fn hidden_states(&self, token_embeddings: Tensor<3>) -> Vec<Tensor<3>> {
        let (embeddings, mask) = self.prepare(token_embeddings);
        self.encoder.hidden_states(embeddings, Some(mask)).into_iter().map(widened).collect()
    }

    fn prepare(&self, token_embeddings: Tensor<3>) -> (Tensor<3>, Tensor<4>) {
        let [_, length, _] = token_embeddings.dims();
        let positions = self.embeddings.position_embedding.weight.val().narrow(0, 0, length);
        let mask = causal_mask(length, &positions.device());
        let embeddings = token_embeddings + positions.unsqueeze::<3>();
        (embeddings.cast(self.encoder.dtype()), mask)
    }

    /// The hidden state at each text's end, or at the first place of a text without one.
    ///
    /// # Shapes
    ///
    /// - last_hidden_state: `[batch_size, length, hidden_size]`
    /// - input_ids: `batch_size` texts of `length` ids
    /// - output: `[batch_size, hidden_size]`
    pub fn pool(&self, last_hidden_state: Tensor<3>, input_ids: &[Vec<u32>]) -> Tensor<2> {
        let ends = input_ids.iter().map(|ids| {
            let end = match self.eos_token_id {
                // transformers' reading of configurations from before the ids were corrected
                2 => (0..ids.len()).rev().max_by_key(|i| ids[*i]),
                eos => ids.iter().position(|id| *id as usize == eos),
            };
            end.unwrap_or(0)
        });
        at(last_hidden_state, &ends.collect::<Vec<_>>()).squeeze_dim(1)
    }
}

/// The state at one place of each text, `[batch_size, 1, width]`.
fn at(states: Tensor<3>, places: &[usize]) -> Tensor<3> {
    let rows = places.iter().enumerate();
    let rows = rows.map(|(row, place)| states.clone().narrow(0, row, 1).narrow(1, *place, 1));
    Tensor::cat(rows.collect(), 0)
}

/// `[1, 1, length, length]`: 0 where a token may look, [`MASKED`] at later tokens.
fn causal_mask(length: usize, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..length)
        .flat_map(|row| (0..length).map(move |column| if column > row { MASKED } else { 0.0 }))
        .collect();
    Tensor::from_data(TensorData::new(values, [1, 1, length, length]), device)
}
