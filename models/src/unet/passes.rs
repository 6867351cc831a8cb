//! The whole way through the network.
//!
//! On the CPU a batch goes in parts, so that whole passes are shared out among the cores, and not one
//! layer after the other. In a small network there are as many parts as cores: what our kernels make of
//! an input does not depend on what goes with it, so a run gives the same bits on any number of them.
//! In a large one, which burn's products compute too, each input is a part.

#[cfg(feature = "flex")]
use std::ops::Range;

#[cfg(feature = "flex")]
use burn::tensor::Device;
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::AddedConditioning;
use super::{Conditioning, UNet2DConditionModel, UNetPrefix};
#[cfg(feature = "flex")]
use crate::kernels::{each, shares};

impl UNet2DConditionModel {
    /// The prediction. Weights of a low type take f32 and give f32.
    ///
    /// # Shapes
    ///
    /// - sample: `[batch_size, in_channels, height, width]`
    /// - timesteps: one for each sample, 0 to 999 for Stable Diffusion
    /// - conditioning: of `batch_size` texts; their hidden states alone, but for SDXL
    /// - output: `[batch_size, out_channels, height, width]`
    ///
    /// # Panics
    ///
    /// If the shapes are others, or SDXL is told hidden states alone.
    pub fn forward(
        &self,
        sample: Tensor<4>,
        timesteps: &[f64],
        conditioning: impl Into<Conditioning>,
    ) -> Tensor<4> {
        self.forward_from(&self.stem(sample, timesteps), conditioning)
    }

    /// The rest of [`forward`](Self::forward), with the same result.
    ///
    /// # Panics
    ///
    /// If the shapes are others.
    pub fn forward_from(
        &self,
        stem: &UNetPrefix,
        conditioning: impl Into<Conditioning>,
    ) -> Tensor<4> {
        let conditioning = conditioning.into();
        #[cfg(feature = "flex")]
        if let Some(prediction) = apart(self, stem, &conditioning) {
            return prediction;
        }
        self.forward_whole(stem, conditioning)
    }
}

/// [`UNet2DConditionModel::forward_from`]; nothing where it is not to be done so: for a single
/// input, on other devices, and where weights are trained.
#[cfg(feature = "flex")]
fn apart(
    network: &UNet2DConditionModel,
    prefix: &UNetPrefix,
    conditioning: &Conditioning,
) -> Option<Tensor<4>> {
    let states = &conditioning.hidden_states;
    let on_cpu = states.device().inner() == Device::flex() && cfg!(not(target_arch = "wasm32"));
    if prefix.batch_size() < 2 || !on_cpu || network.is_trained() {
        return None;
    }
    let parts = match network.is_small() {
        true => shares(prefix.batch_size()),
        false => (0..prefix.batch_size()).map(|i| i..i + 1).collect(),
    };
    if parts.len() < 2 {
        return None;
    }
    #[cfg(feature = "autodiff")]
    if states.is_tracked() {
        return Some(tracked::forward(network, prefix, conditioning, parts));
    }
    let parts = each(parts.len(), |i| {
        let part = parts[i].clone();
        network.forward_whole(&prefix.narrow(part.clone()), conditioning.narrow(part))
    });
    Some(Tensor::cat(parts, 0))
}

#[cfg(feature = "flex")]
impl Conditioning {
    /// That of some inputs.
    fn narrow(&self, inputs: Range<usize>) -> Self {
        let (first, count) = (inputs.start, inputs.len());
        let added = self.added.as_ref().map(|added| AddedConditioning {
            text_embeds: added.text_embeds.clone().narrow(0, first, count),
            time_ids: added.time_ids[inputs].to_vec(),
        });
        Self { hidden_states: self.hidden_states.clone().narrow(0, first, count), added }
    }
}

#[cfg(all(feature = "flex", feature = "autodiff"))]
mod tracked {
    use burn::backend::DispatchTensor;

    use super::{
        AddedConditioning, Conditioning, Range, Tensor, UNet2DConditionModel, UNetPrefix, each,
    };
    use crate::{
        operation::{Operation, apply},
        unet::TimeIds,
    };

    /// All passes as one operation of burn's graph, with a graph of its own for each.
    #[derive(Clone, Debug)]
    struct Apart {
        network: UNet2DConditionModel,
        prefix: UNetPrefix,
        time_ids: Option<Vec<TimeIds>>,
        parts: Vec<Range<usize>>,
    }

    /// One part's pass.
    #[derive(Clone, Debug)]
    pub(super) struct Part {
        /// Where its graph begins.
        given: Conditioning,
        prediction: Tensor<4>,
    }

    pub(super) fn forward(
        network: &UNet2DConditionModel,
        prefix: &UNetPrefix,
        Conditioning { hidden_states, added }: &Conditioning,
        parts: Vec<Range<usize>>,
    ) -> Tensor<4> {
        let states = hidden_states.clone().into_dispatch();
        let (embeds, time_ids) = match added {
            Some(added) => {
                (added.text_embeds.clone().into_dispatch(), Some(added.time_ids.clone()))
            }
            // it is not read
            None => (states.clone(), None),
        };
        let apart = Apart { network: network.clone(), prefix: prefix.clone(), time_ids, parts };
        Tensor::from_dispatch(apply(&apart, [states, embeds]))
    }

    impl Apart {
        fn conditioning(&self, [states, embeds]: [DispatchTensor; 2]) -> Conditioning {
            let added = self.time_ids.clone().map(|time_ids| AddedConditioning {
                text_embeds: Tensor::from_dispatch(embeds),
                time_ids,
            });
            Conditioning { hidden_states: Tensor::from_dispatch(states), added }
        }
    }

    impl Operation<2> for Apart {
        type State = Vec<Part>;

        fn forward(&self, inputs: [DispatchTensor; 2]) -> (DispatchTensor, Vec<Part>) {
            let all = self.conditioning(inputs);
            let parts = each(self.parts.len(), |i| {
                let part = self.parts[i].clone();
                let given = all.narrow(part.clone()).tracked();
                let prefix = self.prefix.narrow(part);
                let prediction = self.network.forward_whole(&prefix, given.clone());
                Part { given, prediction }
            });
            let predictions = parts.iter().map(|part| part.prediction.clone().inner()).collect();
            (Tensor::cat(predictions, 0).into_dispatch(), parts)
        }

        fn backward(
            self,
            parts: Vec<Part>,
            gradient: DispatchTensor,
            _: [bool; 2],
        ) -> [Option<DispatchTensor>; 2] {
            let gradient = Tensor::<4>::from_dispatch(gradient);
            let gradients = each(parts.len(), |i| {
                let Part { given, prediction } = &parts[i];
                let Range { start, end } = self.parts[i];
                let share = gradient.clone().narrow(0, start, end - start).autodiff();
                let gradients = (prediction.clone() * share).backward();
                let states = given.hidden_states.grad(&gradients);
                (states, given.added.as_ref().and_then(|added| added.text_embeds.grad(&gradients)))
            });
            let (states, embeds): (Vec<_>, Vec<_>) = gradients.into_iter().unzip();
            let states: Option<Vec<_>> = states.into_iter().collect();
            let embeds: Option<Vec<_>> = embeds.into_iter().collect();
            [
                states.map(|states| Tensor::cat(states, 0).into_dispatch()),
                embeds.map(|embeds| Tensor::cat(embeds, 0).into_dispatch()),
            ]
        }
    }

    impl Conditioning {
        /// The same as the beginning of a graph.
        fn tracked(self) -> Self {
            Self {
                hidden_states: self.hidden_states.autodiff().require_grad(),
                added: self.added.map(|added| AddedConditioning {
                    text_embeds: added.text_embeds.autodiff().require_grad(),
                    ..added
                }),
            }
        }
    }
}
