//! Layers that normalise first, attend in both directions and mask nothing, padding included.

use burn::{
    module::Module,
    nn::{Embedding, EmbeddingConfig, LayerNorm, Linear},
    tensor::{Device, Int, Tensor},
};

use super::LdmBertConfig;
use crate::{
    Activation,
    attention::self_attention,
    kernels::activate,
    layers::{layer_norm, linear},
    precision::{in_f32, widened},
    product,
    weights::{KeyMap, Network},
};

/// torch's default, which diffusers leaves as it is.
const LAYER_NORM_EPSILON: f64 = 1e-5;

#[derive(Module, Debug)]
struct LdmBertAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: usize,
}

#[derive(Module, Debug)]
struct LdmBertEncoderLayer {
    self_attn_layer_norm: LayerNorm,
    self_attn: LdmBertAttention,
    final_layer_norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
struct LdmBertEncoder {
    embed_tokens: Embedding,
    embed_positions: Embedding,
    layers: Vec<LdmBertEncoderLayer>,
    layer_norm: LayerNorm,
}

/// Tokens to hidden states. Created by [`LdmBertConfig::init`].
#[derive(Module, Debug)]
pub struct LdmBertModel {
    model: LdmBertEncoder,
}

impl Network for LdmBertModel {
    const KEYS: KeyMap = KeyMap { unused: &["to_logits.", "position_ids"], ..KeyMap::SAME };
}

impl LdmBertConfig {
    /// Builds the network with weights yet to be loaded.
    pub fn init(&self, device: &Device) -> LdmBertModel {
        let (width, heads) = (self.d_model, self.encoder_attention_heads);
        let inner = heads * self.head_dim;
        let norm = || layer_norm(width, LAYER_NORM_EPSILON, device);
        let table = |rows| EmbeddingConfig::new(rows, width).init(device);
        let layer = |_| LdmBertEncoderLayer {
            self_attn_layer_norm: norm(),
            self_attn: LdmBertAttention {
                q_proj: linear(width, inner, false, device),
                k_proj: linear(width, inner, false, device),
                v_proj: linear(width, inner, false, device),
                out_proj: linear(inner, width, true, device),
                heads,
            },
            final_layer_norm: norm(),
            fc1: linear(width, self.encoder_ffn_dim, true, device),
            fc2: linear(self.encoder_ffn_dim, width, true, device),
            activation: self.activation_function,
        };
        let model = LdmBertEncoder {
            embed_tokens: table(self.vocab_size),
            embed_positions: table(self.max_position_embeddings),
            layers: (0..self.encoder_layers).map(layer).collect(),
            layer_norm: norm(),
        };
        LdmBertModel { model }
    }
}

impl LdmBertEncoderLayer {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let normed = in_f32(x.clone(), |x| self.self_attn_layer_norm.forward(x));
        let LdmBertAttention { q_proj, k_proj, v_proj, out_proj, heads } = &self.self_attn;
        let x = x + self_attention([q_proj, k_proj, v_proj, out_proj], normed, *heads, None);
        let normed = in_f32(x.clone(), |x| self.final_layer_norm.forward(x));
        let hidden = product::linear(&self.fc1, normed);
        x + product::linear(&self.fc2, activate(self.activation, hidden))
    }
}

impl LdmBertModel {
    /// Rows of the token table. A learned token has none: substitute its vectors in the result.
    ///
    /// # Shapes
    ///
    /// - input_ids: `[batch_size, length]`, each below `vocab_size`
    /// - output: `[batch_size, length, d_model]`
    pub fn token_embeddings(&self, input_ids: Tensor<2, Int>) -> Tensor<3> {
        self.model.embed_tokens.forward(input_ids)
    }

    /// The whole token table, `[vocab_size, d_model]`.
    pub fn token_table(&self) -> Tensor<2> {
        self.model.embed_tokens.weight.val()
    }

    /// Hidden states after the final layer normalisation. Weights of a low type take the embeddings
    /// in f32 and give f32.
    ///
    /// # Shapes
    ///
    /// - token_embeddings: `[batch_size, length, d_model]`
    /// - output: the same
    pub fn forward(&self, token_embeddings: Tensor<3>) -> Tensor<3> {
        let x = self.with_positions(token_embeddings);
        let x = self.model.layers.iter().fold(x, |x, layer| layer.forward(x));
        self.model.layer_norm.forward(widened(x))
    }

    /// The sum of token and position embeddings and every layer's output, the last one after the
    /// final normalisation, as diffusers gives them; each `[batch_size, length, d_model]`.
    pub fn hidden_states(&self, token_embeddings: Tensor<3>) -> Vec<Tensor<3>> {
        let mut states = vec![self.with_positions(token_embeddings)];
        for (i, layer) in self.model.layers.iter().enumerate() {
            states.push(layer.forward(states[i].clone()));
        }
        if let Some(last) = states.last_mut() {
            *last = self.model.layer_norm.forward(widened(last.clone()));
        }
        states.into_iter().map(widened).collect()
    }

    fn with_positions(&self, token_embeddings: Tensor<3>) -> Tensor<3> {
        let [_, length, _] = token_embeddings.dims();
        let positions = self.model.embed_positions.weight.val().narrow(0, 0, length);
        let embeddings = token_embeddings + positions.unsqueeze::<3>();
        match self.model.layers.first() {
            Some(layer) => embeddings.cast(layer.fc1.weight.dtype()),
            None => embeddings,
        }
    }
}
