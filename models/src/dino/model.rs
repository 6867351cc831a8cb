//! The vision transformer (Dosovitskiy et al. 2021; transformers `ViTModel`).

use burn::{
    module::{Module, Param},
    nn::{
        Initializer, LayerNorm, Linear,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor},
};

use super::ViTConfig;
use crate::{
    Activation,
    attention::self_attention,
    kernels::activate,
    layers::{layer_norm, linear},
    product,
    weights::{KeyMap, Network},
};

#[derive(Module, Debug)]
struct PatchEmbeddings {
    projection: Conv2d,
}

#[derive(Module, Debug)]
struct ViTEmbeddings {
    cls_token: Param<Tensor<3>>,
    position_embeddings: Param<Tensor<3>>,
    patch_embeddings: PatchEmbeddings,
}

#[derive(Module, Debug)]
struct ViTSelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    heads: usize,
}

#[derive(Module, Debug)]
struct Dense {
    dense: Linear,
}

#[derive(Module, Debug)]
struct ViTAttention {
    attention: ViTSelfAttention,
    output: Dense,
}

#[derive(Module, Debug)]
struct ViTLayer {
    layernorm_before: LayerNorm,
    attention: ViTAttention,
    layernorm_after: LayerNorm,
    intermediate: Dense,
    output: Dense,
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
struct ViTEncoder {
    layer: Vec<ViTLayer>,
}

/// Pictures to hidden states. Created by [`ViTConfig::init`].
#[derive(Module, Debug)]
pub struct ViTModel {
    embeddings: ViTEmbeddings,
    encoder: ViTEncoder,
    layernorm: LayerNorm,
}

/// What the class token would go on to is not used.
impl Network for ViTModel {
    const KEYS: KeyMap = KeyMap { unused: &["pooler.", "classifier."], ..KeyMap::SAME };
}

impl ViTConfig {
    /// Builds the network with weights yet to be loaded.
    pub fn init(&self, device: &Device) -> ViTModel {
        let (width, patch) = (self.hidden_size, self.patch_size);
        let positions = (self.image_size / patch).pow(2) + 1;
        let zeros = |length: usize| Initializer::Zeros.init([1, length, width], device);
        let norm = || layer_norm(width, self.layer_norm_eps, device);
        let projection = || linear(width, width, self.qkv_bias, device);
        let dense = |into, out| Dense { dense: linear(into, out, true, device) };
        let layer = |_| ViTLayer {
            layernorm_before: norm(),
            attention: ViTAttention {
                attention: ViTSelfAttention {
                    query: projection(),
                    key: projection(),
                    value: projection(),
                    heads: self.num_attention_heads,
                },
                output: dense(width, width),
            },
            layernorm_after: norm(),
            intermediate: dense(width, self.intermediate_size),
            output: dense(self.intermediate_size, width),
            activation: self.hidden_act,
        };
        ViTModel {
            embeddings: ViTEmbeddings {
                cls_token: zeros(1),
                position_embeddings: zeros(positions),
                patch_embeddings: PatchEmbeddings {
                    projection: Conv2dConfig::new([self.num_channels, width], [patch, patch])
                        .with_stride([patch, patch])
                        .init(device),
                },
            },
            encoder: ViTEncoder { layer: (0..self.num_hidden_layers).map(layer).collect() },
            layernorm: norm(),
        }
    }
}

impl ViTLayer {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let ViTAttention { attention, output } = &self.attention;
        let ViTSelfAttention { query, key, value, heads } = attention;
        let normed = self.layernorm_before.forward(x.clone());
        let x = x + self_attention([query, key, value, &output.dense], normed, *heads, None);
        let hidden =
            product::linear(&self.intermediate.dense, self.layernorm_after.forward(x.clone()));
        x + product::linear(&self.output.dense, activate(self.activation, hidden))
    }
}

impl ViTModel {
    /// Hidden states of the class token and the patches after the last normalisation.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[batch_size, 3, image_size, image_size]`, normalised
    /// - output: `[batch_size, 1 + patches, hidden_size]`
    pub fn last_hidden_state(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        let embeddings = &self.embeddings;
        let patches = embeddings.patch_embeddings.projection.forward(pixel_values);
        let patches = patches.flatten::<3>(2, 3).swap_dims(1, 2);
        let [batch_size, _, width] = patches.dims();
        let class = embeddings.cls_token.val().expand([batch_size, 1, width]);
        let x = Tensor::cat(vec![class, patches], 1) + embeddings.position_embeddings.val();
        let x = self.encoder.layer.iter().fold(x, |x, layer| layer.forward(x));
        self.layernorm.forward(x)
    }

    /// The class token's last hidden state.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[batch_size, 3, image_size, image_size]`, normalised
    /// - output: `[batch_size, hidden_size]`
    pub fn forward(&self, pixel_values: Tensor<4>) -> Tensor<2> {
        self.last_hidden_state(pixel_values).narrow(1, 0, 1).squeeze_dim(1)
    }
}
