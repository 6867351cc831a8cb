//! The pre-norm transformer that both towers share (transformers `CLIPEncoder`).

use burn::{
    module::Module,
    nn::{LayerNorm, Linear},
    tensor::{DType, Device, Tensor},
};

use crate::{
    Activation,
    attention::self_attention,
    kernels::activate,
    layers::{layer_norm, linear},
    precision::in_f32,
    product,
};

pub(super) struct ClipEncoderConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub activation: Activation,
    pub epsilon: f64,
}

#[derive(Module, Debug)]
struct ClipAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: usize,
}

#[derive(Module, Debug)]
struct ClipMlp {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
pub(super) struct ClipEncoderLayer {
    layer_norm1: LayerNorm,
    self_attn: ClipAttention,
    layer_norm2: LayerNorm,
    mlp: ClipMlp,
}

/// The stack of layers.
#[derive(Module, Debug)]
pub(super) struct ClipEncoder {
    layers: Vec<ClipEncoderLayer>,
}

impl ClipEncoderConfig {
    pub(super) fn init(&self, device: &Device) -> ClipEncoder {
        let width = self.hidden_size;
        let projection = || linear(width, width, true, device);
        let norm = || layer_norm(width, self.epsilon, device);
        let layer = || ClipEncoderLayer {
            layer_norm1: norm(),
            self_attn: ClipAttention {
                q_proj: projection(),
                k_proj: projection(),
                v_proj: projection(),
                out_proj: projection(),
                heads: self.heads,
            },
            layer_norm2: norm(),
            mlp: ClipMlp {
                fc1: linear(width, self.intermediate_size, true, device),
                fc2: linear(self.intermediate_size, width, true, device),
                activation: self.activation,
            },
        };
        ClipEncoder { layers: (0..self.layers).map(|_| layer()).collect() }
    }
}

impl ClipEncoderLayer {
    fn forward(&self, x: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        let normed = in_f32(x.clone(), |x| self.layer_norm1.forward(x));
        let ClipAttention { q_proj, k_proj, v_proj, out_proj, heads } = &self.self_attn;
        let x = x + self_attention([q_proj, k_proj, v_proj, out_proj], normed, *heads, mask);
        let normed = in_f32(x.clone(), |x| self.layer_norm2.forward(x));
        let hidden = product::linear(&self.mlp.fc1, normed);
        x + product::linear(&self.mlp.fc2, activate(self.mlp.activation, hidden))
    }
}

impl ClipEncoder {
    /// The input and every layer's output, in order.
    ///
    /// # Shapes
    ///
    /// - embeddings: `[batch_size, length, hidden_size]`
    /// - mask: `[1, 1, length, length]`, added to the scores
    /// - outputs: the shape of `embeddings`
    pub(super) fn hidden_states(
        &self,
        embeddings: Tensor<3>,
        mask: Option<Tensor<4>>,
    ) -> Vec<Tensor<3>> {
        let mut states = vec![embeddings.clone()];
        let mut x = embeddings;
        for layer in &self.layers {
            x = layer.forward(x, mask.clone());
            states.push(x.clone());
        }
        states
    }

    /// The type that the layers compute in.
    pub(super) fn dtype(&self) -> DType {
        self.layers.first().map_or(DType::F32, |layer| layer.mlp.fc1.weight.dtype())
    }

    /// The last layer's output.
    pub(super) fn forward(&self, embeddings: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        through(&self.layers, embeddings, mask)
    }

    /// The output of the last layer but one.
    pub(super) fn penultimate(&self, embeddings: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        through(&self.layers[..self.layers.len() - 1], embeddings, mask)
    }

    /// The outputs of the last two layers.
    pub(super) fn penultimate_and_last(
        &self,
        embeddings: Tensor<3>,
        mask: Option<Tensor<4>>,
    ) -> (Tensor<3>, Tensor<3>) {
        let states = self.penultimate(embeddings, mask.clone());
        let last = through(&self.layers[self.layers.len() - 1..], states.clone(), mask);
        (states, last)
    }
}

fn through(layers: &[ClipEncoderLayer], x: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
    layers.iter().fold(x, |x, layer| layer.forward(x, mask.clone()))
}
