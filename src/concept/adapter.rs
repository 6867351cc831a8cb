//! Which weights of the UNet a method trains, where they start, and how they enter the network.

use std::collections::BTreeMap;

use burn::tensor::{DType, Tensor, TensorData};

use super::lora::low_rank;
use crate::rng::{Purpose, Stream};

/// What is trained beside the vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum AdapterConfig {
    /// Nothing: Textual Inversion.
    None,
    /// `weight + scale * up @ down` in every linear layer of the attentions and in the gated input
    /// of the feed-forward layers, where the official code's `inject_trainable_lora` puts it.
    Lora {
        /// Rows of `down`, columns of `up`.
        rank: usize,
        /// How strongly the addition counts.
        scale: f64,
    },
    /// The key and value weights of the attention to the text, whole.
    CustomDiffusion,
}

pub(super) const DOWN: &str = ".lora_down";
pub(super) const UP: &str = ".lora_up";

impl AdapterConfig {
    /// Whether the layer of this name (see `UNet2DConditionModel::projections`) is trained.
    pub(super) fn trains(&self, layer: &str) -> bool {
        match self {
            Self::None => false,
            Self::Lora { .. } => true,
            Self::CustomDiffusion => {
                layer.ends_with(".attn2.to_k") || layer.ends_with(".attn2.to_v")
            }
        }
    }

    /// The trained tensors at their start, plain, in f32 whatever the type of the frozen ones. LoRA's
    /// `down`, `[rank, in]`, is normal with deviation `1 / rank`, its `up`, `[out, rank]`, zero: the
    /// network starts unchanged.
    pub(super) fn initial<'a>(
        &self,
        frozen: &'a BTreeMap<String, Tensor<2>>,
        seed: u64,
    ) -> impl Iterator<Item = (String, Tensor<2>)> + use<'a> {
        let adapter = *self;
        frozen.iter().enumerate().flat_map(move |(index, (layer, weight))| match adapter {
            Self::None => Vec::new(),
            Self::CustomDiffusion => vec![(layer.clone(), weight.clone().cast(DType::F32))],
            Self::Lora { rank, .. } => {
                let ([input, output], device) = (weight.dims(), weight.device());
                let down = Stream::new(seed, Purpose::LoraDown, index as u64).normal(rank * input);
                let down = Tensor::from_data(TensorData::new(down, [rank, input]), &device);
                let up = Tensor::zeros([output, rank], &device);
                vec![
                    (format!("{layer}{DOWN}"), down.div_scalar(rank as f64)),
                    (format!("{layer}{UP}"), up),
                ]
            }
        })
    }

    /// The weights, `[in, out]`, that take the place of the frozen ones, in f32.
    pub(super) fn projections(
        &self,
        frozen: &BTreeMap<String, Tensor<2>>,
        trained: &BTreeMap<&str, Tensor<2>>,
    ) -> BTreeMap<String, Tensor<2>> {
        let changed = |(layer, weight): (&String, &Tensor<2>)| match self {
            Self::None => None,
            Self::CustomDiffusion => trained.get(layer.as_str()).cloned(),
            Self::Lora { scale, .. } => {
                let down = trained.get(format!("{layer}{DOWN}").as_str())?.clone();
                let up = trained.get(format!("{layer}{UP}").as_str())?.clone();
                Some(low_rank(weight.clone(), down, up, *scale))
            }
        };
        let named = |entry: (&String, &Tensor<2>)| Some((entry.0.clone(), changed(entry)?));
        frozen.iter().filter_map(named).collect()
    }
}
