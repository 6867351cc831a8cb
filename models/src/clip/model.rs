//! Both towers in one space (transformers `CLIPModel`).

use burn::{
    module::Module,
    nn::Linear,
    tensor::{Device, Int, Tensor, TensorData},
};

use super::{ClipConfig, ClipTextTransformer, ClipVisionTransformer};
use crate::{
    layers::linear,
    product,
    weights::{KeyMap, Network},
};

/// Scores pictures against pictures and texts. Created by [`ClipConfig::init`].
#[derive(Module, Debug)]
pub struct ClipModel {
    /// The text tower.
    pub text_model: ClipTextTransformer,
    /// The picture tower.
    pub vision_model: ClipVisionTransformer,
    text_projection: Linear,
    visual_projection: Linear,
}

impl Network for ClipModel {
    const KEYS: KeyMap = KeyMap {
        renames: &[(r"\.pre_layrnorm\.", ".pre_layernorm.")], // sic, in transformers
        originals: &[(".pre_layernorm.", ".pre_layrnorm.")],
        unused: &["position_ids", "logit_scale"],
    };
}

impl ClipConfig {
    /// Builds the network with weights yet to be loaded.
    pub fn init(&self, device: &Device) -> ClipModel {
        let features = self.projection_dim;
        ClipModel {
            text_model: self.text_config.init_transformer(device),
            vision_model: self.vision_config.init(device),
            text_projection: linear(self.text_config.hidden_size, features, false, device),
            visual_projection: linear(self.vision_config.hidden_size, features, false, device),
        }
    }
}

impl ClipModel {
    /// Features of pictures, not normalised.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[batch_size, 3, image_size, image_size]`, normalised
    /// - output: `[batch_size, projection_dim]`
    pub fn image_features(&self, pixel_values: Tensor<4>) -> Tensor<2> {
        product::linear(&self.visual_projection, self.vision_model.forward(pixel_values))
    }

    /// Features of texts, not normalised.
    ///
    /// # Shapes
    ///
    /// - input_ids: `batch_size` texts of one length
    /// - output: `[batch_size, projection_dim]`
    pub fn text_features(&self, input_ids: &[Vec<u32>]) -> Tensor<2> {
        let device = self.text_model.token_table().device();
        let ids: Vec<i32> = input_ids.iter().flatten().map(|id| *id as i32).collect();
        let shape = [input_ids.len(), ids.len() / input_ids.len().max(1)];
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &device);
        let states = self.text_model.forward(self.text_model.token_embeddings(ids));
        product::linear(&self.text_projection, self.text_model.pool(states, input_ids))
    }
}
