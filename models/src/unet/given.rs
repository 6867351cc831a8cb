//! What the blocks of one forward pass are given beside their input, and how they are recorded.

use burn::tensor::Tensor;

use super::transformer::Transformer2D;
use crate::resnet::ResnetBlock2D;

/// What every block of one forward pass is given beside its input.
pub(super) struct Given {
    /// `[batch_size, time_embed_dim]`, through SiLU.
    pub time: Tensor<2>,
    /// `[batch_size, length, cross_attention_dim]`
    pub text: Tensor<3>,
    /// Each block's graph is recorded in the backward pass alone.
    #[cfg_attr(not(feature = "autodiff"), allow(dead_code))]
    pub gradient_checkpointing: bool,
}

impl Given {
    pub(super) fn resnet(&self, block: &ResnetBlock2D, x: Tensor<4>) -> Tensor<4> {
        #[cfg(all(feature = "extension", feature = "autodiff"))]
        if self.gradient_checkpointing {
            return checkpointed::resnet(block.clone(), x, self.time.clone());
        }
        block.forward(x, Some(self.time.clone()))
    }

    pub(super) fn transformer(&self, block: &Transformer2D, x: Tensor<4>) -> Tensor<4> {
        #[cfg(all(feature = "extension", feature = "autodiff"))]
        if self.gradient_checkpointing {
            return match block.depth() {
                1 => checkpointed::transformer(block.clone(), x, self.text.clone()),
                // one at a time, so that the graph of no two is in memory
                _ => block.forward_by(x, |block, x| {
                    checkpointed::transformer(block.clone(), x, self.text.clone())
                }),
            };
        }
        block.forward(x, self.text.clone())
    }
}

#[cfg(all(feature = "extension", feature = "autodiff"))]
mod checkpointed {
    use burn::{
        module::{Param, ParamId},
        nn::Linear,
    };

    use super::{ResnetBlock2D, Tensor, Transformer2D};
    use crate::{gradient_checkpointing::recomputed, unet::transformer::BasicTransformerBlock};

    pub(super) fn resnet(block: ResnetBlock2D, x: Tensor<4>, time: Tensor<2>) -> Tensor<4> {
        let inputs = [x.into_dispatch(), time.into_dispatch()];
        recomputed(inputs, Vec::new(), move |[x, time], _| {
            block.forward(Tensor::from_dispatch(x), Some(Tensor::from_dispatch(time)))
        })
    }

    /// What attends to the text.
    pub(super) trait Attending<const D: usize>: Clone + Send + 'static {
        fn projections(&mut self, visitor: &mut dyn FnMut(&str, &mut Linear));
        fn forward(&self, x: Tensor<D>, text: Tensor<3>) -> Tensor<D>;
    }

    impl Attending<4> for Transformer2D {
        fn projections(&mut self, visitor: &mut dyn FnMut(&str, &mut Linear)) {
            self.projections(visitor);
        }

        fn forward(&self, x: Tensor<4>, text: Tensor<3>) -> Tensor<4> {
            self.forward(x, text)
        }
    }

    impl Attending<3> for BasicTransformerBlock {
        fn projections(&mut self, visitor: &mut dyn FnMut(&str, &mut Linear)) {
            self.projections(visitor);
        }

        fn forward(&self, x: Tensor<3>, text: Tensor<3>) -> Tensor<3> {
            self.forward(x, text)
        }
    }

    /// Weights that LoRA or Custom Diffusion trains become inputs of the block.
    pub(super) fn transformer<const D: usize>(
        mut block: impl Attending<D>,
        x: Tensor<D>,
        text: Tensor<3>,
    ) -> Tensor<D> {
        let (mut names, mut weights) = (Vec::new(), Vec::new());
        block.projections(&mut |name, linear| {
            let weight = linear.weight.val();
            if weight.is_tracked() {
                linear.weight = Param::initialized(ParamId::new(), weight.clone().inner());
                names.push(name.to_string());
                weights.push(weight.into_dispatch());
            }
        });
        let inputs = [x.into_dispatch(), text.into_dispatch()];
        recomputed(inputs, weights, move |[x, text], weights| {
            let mut block = block.clone();
            let mut trained = names.iter().zip(weights).peekable();
            block.projections(&mut |name, linear| {
                if let Some((_, weight)) = trained.next_if(|(trained, _)| *trained == name) {
                    let weight = Tensor::from_dispatch(weight);
                    linear.weight = Param::initialized(ParamId::new(), weight);
                }
            });
            block.forward(Tensor::from_dispatch(x), Tensor::from_dispatch(text))
        })
    }
}
