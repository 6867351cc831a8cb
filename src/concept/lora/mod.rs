//! Low-rank additions to a model's weights (LoRA, Hu et al. 2022), as tools pass them on, and the whole
//! differences that some have beside them.

mod names;
mod read;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{DType, Device, Tensor, TensorData};
use dvar_models::{
    product::matmul,
    single_file::UNetNames,
    unet::UNet2DConditionModel,
    weights::{ChangeWeight, change_weights},
};

pub use names::{LoraNames, Part};
pub use write::LoraFormat;

use super::{AdapterError, HostTensor};
use crate::pipelines::PromptEncoder;

/// Residual blocks in each level of every published model.
const PUBLISHED_LAYERS: usize = 2;

/// `weight + scale * up @ down` in f32: the one way in which a LoRA enters a network.
///
/// # Shapes
///
/// - weight, output: `[in, out]`
/// - down: `[rank, in]`
/// - up: `[out, rank]`
pub(super) fn low_rank(weight: Tensor<2>, down: Tensor<2>, up: Tensor<2>, scale: f64) -> Tensor<2> {
    let delta = matmul(down.transpose(), up.transpose());
    weight.cast(DType::F32) + delta.mul_scalar(scale)
}

/// Additions to the weights of a denoiser and of text encoders.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// What messages call it.
    file: String,
    names: LoraNames,
    /// By part, and by diffusers' or the original code's name of the layer, with `.bias` behind it for
    /// what is added to its bias.
    layers: BTreeMap<(Part, String), LoraLayer>,
    /// How strongly all of it counts.
    scale: f64,
    holds_embedding: bool,
}

/// What is added to one weight or bias.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraLayer {
    /// What the file calls it.
    given: String,
    addition: Addition,
}

#[derive(Clone, Debug, PartialEq)]
enum Addition {
    /// `alpha / rank * up @ down`; alpha is as the file says, or the rank.
    LowRank { down: Factor, up: Factor, alpha: f64 },
    /// The difference itself.
    Whole(Factor),
}

/// A tensor with its rows first, whatever its other dimensions.
#[derive(Clone, Debug, PartialEq)]
struct Factor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Factor {
    fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    fn columns(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    fn on(&self, device: &Device) -> Tensor<2> {
        let data = TensorData::new(self.values.clone(), [self.rows(), self.columns()]);
        Tensor::from_data(data, device)
    }
}

impl LoraLayer {
    /// Rows of `down`; none of a whole difference.
    pub fn rank(&self) -> Option<usize> {
        match &self.addition {
            Addition::LowRank { down, .. } => Some(down.rows()),
            Addition::Whole(_) => None,
        }
    }

    /// What the product is multiplied by, times the rank; none of a whole difference.
    pub fn alpha(&self) -> Option<f64> {
        match self.addition {
            Addition::LowRank { alpha, .. } => Some(alpha),
            Addition::Whole(_) => None,
        }
    }

    /// Inputs and outputs of what it is added to.
    fn sizes(&self) -> [usize; 2] {
        match &self.addition {
            Addition::LowRank { down, up, .. } => [down.columns(), up.rows()],
            Addition::Whole(difference) => [difference.columns(), difference.rows()],
        }
    }

    fn added_to(&self, weight: Tensor<2>, scale: f64) -> Result<Tensor<2>, AdapterError> {
        let (found, wanted) = (weight.dims(), self.sizes());
        if found != wanted {
            return Err(AdapterError::fit(&self.given, wanted, Some(found)));
        }
        let device = weight.device();
        Ok(match &self.addition {
            Addition::LowRank { down, up, alpha } => {
                let scale = scale * alpha / down.rows() as f64;
                low_rank(weight, down.on(&device), up.on(&device), scale)
            }
            Addition::Whole(difference) => {
                let difference = difference.on(&device).transpose();
                weight.cast(DType::F32) + difference.mul_scalar(scale)
            }
        })
    }
}

impl Lora {
    /// A trained one: `down`, `[rank, in]`, and `up`, `[out, rank]`, of each of the denoiser's layers,
    /// with the scale in it.
    pub(super) fn of_denoiser(trained: BTreeMap<String, (HostTensor, HostTensor)>) -> Self {
        let factor =
            |tensor: HostTensor| Factor { shape: tensor.shape.to_vec(), values: tensor.values };
        let layers = trained.into_iter().map(|(name, (down, up))| {
            let alpha = down.shape[0] as f64;
            let addition = Addition::LowRank { down: factor(down), up: factor(up), alpha };
            ((Part::Denoiser, name.clone()), LoraLayer { given: name, addition })
        });
        Self {
            file: "the trained LoRA".into(),
            names: LoraNames::Peft,
            layers: layers.collect(),
            scale: 1.0,
            holds_embedding: false,
        }
    }

    /// The same, which counts `scale` times as strongly.
    #[must_use]
    pub fn scaled(self, scale: f64) -> Self {
        Self { scale: self.scale * scale, ..self }
    }

    /// How the file names its tensors.
    pub fn names(&self) -> LoraNames {
        self.names
    }

    /// The layers that it changes, those whose bias it changes once more.
    pub fn layers(&self) -> impl Iterator<Item = (Part, &LoraLayer)> {
        self.layers.iter().map(|((part, _), layer)| (*part, layer))
    }

    /// Whether it changes a table of a text encoder's embeddings, as ComfyUI extracts it.
    pub fn changes_tables(&self) -> bool {
        let mut layers = self.layers.keys();
        layers.any(|(part, name)| *part != Part::Denoiser && name.ends_with("_embedding"))
    }

    /// Whether it has whole differences of weights, norms or biases.
    pub fn has_differences(&self) -> bool {
        self.layers().any(|(_, layer)| layer.rank().is_none())
    }

    /// Whether the file also holds a learned embedding.
    pub fn holds_embedding(&self) -> bool {
        self.holds_embedding
    }

    /// The networks with this in their weights.
    ///
    /// # Errors
    ///
    /// [`AdapterError`] if the model lacks a layer, or has it in another shape.
    pub fn apply(
        &self,
        unet: UNet2DConditionModel,
        encoder: PromptEncoder,
    ) -> Result<(UNet2DConditionModel, PromptEncoder), AdapterError> {
        let mut application = Application::new(self, &unet);
        let unet = change_weights(unet, &mut application.change(Part::Denoiser));
        let encoder = encoder.with_text_encoders(|number, encoder| {
            encoder.with_changed_weights(&mut application.change(Part::TextEncoder(number)))
        });
        application.finish()?;
        Ok((unet, encoder))
    }

    /// The denoiser's weights and biases, `[in, out]`, with this in them, by diffusers' names, in the shapes of
    /// [`change_weights`].
    ///
    /// # Errors
    ///
    /// [`AdapterError`] as [`apply`](Self::apply), and if it changes more than the denoiser.
    pub(super) fn merged(
        &self,
        unet: &UNet2DConditionModel,
    ) -> Result<BTreeMap<String, Tensor<2>>, AdapterError> {
        let (mut merged, mut application) = (BTreeMap::new(), Application::new(self, unet));
        let mut change = application.change(Part::Denoiser);
        change_weights(unet.clone(), &mut |name, weight| {
            merged.extend(change(name, weight).map(|weight| (name.to_string(), weight)));
            None
        });
        drop(change);
        application.finish()?;
        Ok(merged)
    }
}

/// A text encoder's layer that projects its pooled state.
const PROJECTION: &str = "text_projection";

/// What of a LoRA has not found its place yet.
struct Application<'a> {
    lora: &'a Lora,
    /// The layers under diffusers' names.
    layers: BTreeMap<(Part, String), &'a LoraLayer>,
    unused: BTreeSet<(Part, String)>,
    problem: Option<AdapterError>,
}

impl<'a> Application<'a> {
    fn new(lora: &'a Lora, unet: &UNet2DConditionModel) -> Self {
        let originals = UNetNames::of_layers(unet.layers_per_block());
        let (mut layers, mut problem) = (BTreeMap::new(), None);
        for ((part, name), layer) in &lora.layers {
            let original = (*part == Part::Denoiser).then(|| originals.layer(name)).flatten();
            let name = original.unwrap_or_else(|| name.clone());
            if layers.insert((*part, name), layer).is_some() {
                problem = Some(AdapterError::File {
                    file: lora.file.clone(),
                    problem: format!("`{}` is there twice, under different names", layer.given),
                });
            }
        }
        let unused = layers.keys().cloned().collect();
        Self { lora, layers, unused, problem }
    }

    fn change(&mut self, part: Part) -> Box<ChangeWeight<'_>> {
        Box::new(move |name, weight| {
            let key = (part, name.to_string());
            let layer = self.layers.get(&key)?;
            self.unused.remove(&key);
            let added = layer.added_to(weight, self.lora.scale);
            added.map_err(|problem| self.problem.get_or_insert(problem)).ok()
        })
    }

    fn finish(mut self) -> Result<(), AdapterError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        // ComfyUI has one in every text encoder, also where no model takes what it projects
        self.unused.retain(|(part, layer)| *part == Part::Denoiser || layer != PROJECTION);
        let Some(first) = self.unused.first() else { return Ok(()) };
        Err(AdapterError::Unknown {
            file: self.lora.file.clone(),
            layer: self.layers[first].given.clone(),
            unknown: self.unused.len(),
            count: self.layers.len(),
        })
    }
}
