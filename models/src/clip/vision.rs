//! The picture tower (transformers `CLIPVisionTransformer`; Dosovitskiy et al. 2021).

use burn::{
    module::{Module, Param},
    nn::{
        Embedding, EmbeddingConfig, Initializer, LayerNorm,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor},
};

use super::{
    ClipVisionConfig,
    encoder::{ClipEncoder, ClipEncoderConfig},
};
use crate::layers::layer_norm;

#[derive(Module, Debug)]
struct ClipVisionEmbeddings {
    class_embedding: Param<Tensor<1>>,
    patch_embedding: Conv2d,
    position_embedding: Embedding,
}

/// Pictures to pooled hidden states.
#[derive(Module, Debug)]
pub struct ClipVisionTransformer {
    embeddings: ClipVisionEmbeddings,
    pre_layernorm: LayerNorm,
    encoder: ClipEncoder,
    post_layernorm: LayerNorm,
}

impl ClipVisionConfig {
    pub(super) fn init(&self, device: &Device) -> ClipVisionTransformer {
        let (width, patch) = (self.hidden_size, self.patch_size);
        let patches = (self.image_size / patch).pow(2);
        let encoder = ClipEncoderConfig {
            hidden_size: width,
            intermediate_size: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            activation: self.hidden_act,
            epsilon: self.layer_norm_eps,
        };
        ClipVisionTransformer {
            embeddings: ClipVisionEmbeddings {
                class_embedding: Initializer::Zeros.init([width], device),
                patch_embedding: Conv2dConfig::new([self.num_channels, width], [patch, patch])
                    .with_stride([patch, patch])
                    .with_bias(false)
                    .init(device),
                position_embedding: EmbeddingConfig::new(patches + 1, width).init(device),
            },
            pre_layernorm: layer_norm(width, self.layer_norm_eps, device),
            encoder: encoder.init(device),
            post_layernorm: layer_norm(width, self.layer_norm_eps, device),
        }
    }
}

impl ClipVisionTransformer {
    /// Hidden states of the class token and the patches, before the last normalisation.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[batch_size, 3, image_size, image_size]`, normalised
    /// - output: `[batch_size, 1 + patches, hidden_size]`
    pub fn last_hidden_state(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        let embeddings = &self.embeddings;
        let patches = embeddings.patch_embedding.forward(pixel_values);
        let patches = patches.flatten::<3>(2, 3).swap_dims(1, 2);
        let [batch_size, _, width] = patches.dims();
        let class =
            embeddings.class_embedding.val().reshape([1, 1, width]).expand([batch_size, 1, width]);
        let x = Tensor::cat(vec![class, patches], 1);
        let x = x + embeddings.position_embedding.weight.val().unsqueeze::<3>();
        self.encoder.forward(self.pre_layernorm.forward(x), None)
    }

    /// The class token's state after the last normalisation.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[batch_size, 3, image_size, image_size]`, normalised
    /// - output: `[batch_size, hidden_size]`
    pub fn forward(&self, pixel_values: Tensor<4>) -> Tensor<2> {
        let states = self.last_hidden_state(pixel_values);
        self.post_layernorm.forward(states.narrow(1, 0, 1).squeeze_dim::<2>(1))
    }
}
