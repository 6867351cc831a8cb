//! The linear layers of the UNet's attentions: what LoRA and Custom Diffusion train, and the
//! network with other weights in their places.

use std::collections::BTreeMap;

use burn::{nn::Linear, tensor::Tensor};

use super::{UNet2DConditionModel, transformer::Transformer2D};
use crate::weights::change_weights;

impl UNet2DConditionModel {
    /// The weights of every linear layer in an attention or in the gate of a feed-forward layer,
    /// under diffusers' names without `.weight`
    /// (`down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`), each `[in, out]`: the
    /// transpose of what a checkpoint holds.
    pub fn projections(&self) -> BTreeMap<String, Tensor<2>> {
        let mut weights = BTreeMap::new();
        self.clone().each_projection(&mut |name, linear| {
            weights.insert(name.to_string(), linear.weight.val());
        });
        weights
    }

    /// Whether any of them is tracked by autodiff.
    #[cfg(feature = "flex")]
    pub(super) fn is_trained(&self) -> bool {
        self.projections().values().any(Tensor::is_tracked)
    }

    /// The same network with the given weights in place of its own, cast to its type, by the names
    /// and in the shapes of [`change_weights`]. Tracked weights give a tracked prediction. Weights under
    /// other names are not used.
    #[must_use]
    pub fn with_weights(&self, weights: &BTreeMap<String, Tensor<2>>) -> Self {
        change_weights(self.clone(), &mut |name, _| weights.get(name).cloned())
    }

    /// The same network, but keys and values of a text's first token carry no gradient, as Custom
    /// Diffusion trains (Kumari et al. 2023): that token is the same for every text.
    #[must_use]
    pub fn with_first_token_detached(&self) -> Self {
        let mut changed = self.clone();
        changed.transformers(&mut |_, transformer| transformer.detach_first_token());
        changed
    }

    fn each_projection(&mut self, visitor: &mut dyn FnMut(&str, &mut Linear)) {
        self.transformers(&mut |prefix, transformer| {
            transformer.projections(&mut |name, linear| {
                visitor(&format!("{prefix}.{name}"), linear);
            });
        });
    }

    fn transformers(&mut self, visitor: &mut dyn FnMut(&str, &mut Transformer2D)) {
        let down = self.down_blocks.iter_mut().map(|block| &mut block.attentions);
        let up = self.up_blocks.iter_mut().map(|block| &mut block.attentions);
        let middle = std::iter::once(&mut self.mid_block.attentions);
        let named = (down.enumerate().map(|(i, all)| (format!("down_blocks.{i}"), all)))
            .chain(middle.map(|all| ("mid_block".to_string(), all)))
            .chain(up.enumerate().map(|(i, all)| (format!("up_blocks.{i}"), all)));
        for (block, attentions) in named {
            for (i, transformer) in attentions.iter_mut().enumerate() {
                visitor(&format!("{block}.attentions.{i}"), transformer);
            }
        }
    }
}
