//! The weights that Custom Diffusion learned, here keys and values alone, and their file in diffusers' form.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use dvar_models::unet::UNet2DConditionModel;

use super::{AdapterError, HostTensor, stored::Stored};
use crate::tensor::to_safetensors;

/// Whole weights of the denoiser's attention to the text.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomDiffusion {
    /// `[out, in]`, or `[out, 1]` of a bias, by the name of what it takes the place of.
    layers: BTreeMap<String, HostTensor>,
}

/// What the names of its tensors end in, behind `.processor.`, and those of what they take the place of.
/// Keys and values are always there; the others where diffusers trained with `--freeze_model crossattn`.
const NAMES: [(&str, &str); 5] = [
    ("to_k_custom_diffusion.weight", "to_k"),
    ("to_v_custom_diffusion.weight", "to_v"),
    ("to_q_custom_diffusion.weight", "to_q"),
    ("to_out_custom_diffusion.0.weight", "to_out.0"),
    ("to_out_custom_diffusion.0.bias", "to_out.0.bias"),
];

impl CustomDiffusion {
    /// Of trained weights, `[in, out]`.
    pub(super) fn new(trained: Vec<HostTensor>) -> Self {
        let layers = trained.iter().map(|tensor| (tensor.name.clone(), transposed(tensor)));
        Self { layers: layers.collect() }
    }

    /// Whether a file's tensors are such, by their names.
    pub(super) fn is_in(names: &[&str]) -> bool {
        names.iter().any(|name| NAMES.iter().any(|(theirs, _)| name.ends_with(*theirs)))
    }

    /// Takes a file's tensors.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that fit after the file's name.
    pub(super) fn read(stored: Stored) -> Result<Self, String> {
        let mut layers = BTreeMap::new();
        for (name, (shape, values)) in stored.tensors {
            // diffusers wants every attention named, also those that nothing has changed
            if name.ends_with(".attn1.processor") {
                continue;
            }
            let layer = name.split_once(".processor.").and_then(|(attention, end)| {
                let (_, ours) = NAMES.iter().find(|(theirs, _)| *theirs == end)?;
                Some(format!("{attention}.{ours}"))
            });
            let Some(layer) = layer else {
                return Err(format!("`{name}` is no tensor of Custom Diffusion"));
            };
            let (rows, columns) = match shape[..] {
                [rows, columns] if !is_bias(&layer) => (rows, columns),
                [rows] if is_bias(&layer) => (rows, 1),
                _ => return Err(format!("`{name}` is of shape {shape:?}, as no such layer is")),
            };
            if values.iter().any(|value| !value.is_finite()) {
                return Err(format!("`{name}` holds a value that is not finite"));
            }
            let tensor = HostTensor { name: layer.clone(), shape: [rows, columns], values };
            layers.insert(layer, tensor);
        }
        Ok(Self { layers })
    }

    /// The file.
    ///
    /// # Errors
    ///
    /// If a tensor's values and shape disagree, in words that fit after the file's name.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut tensors: Vec<(String, Vec<usize>, &[f32])> = Vec::new();
        for (layer, weight) in &self.layers {
            let name = NAMES.iter().find_map(|(theirs, ours)| {
                let attention = layer.strip_suffix(*ours)?;
                Some(format!("{attention}processor.{theirs}"))
            });
            let Some(name) = name else { continue };
            let sides = if is_bias(layer) { 1 } else { 2 };
            tensors.push((name, weight.shape[..sides].to_vec(), &weight.values));
            if let Some(block) = layer.strip_suffix(".attn2.to_k") {
                tensors.push((format!("{block}.attn1.processor"), vec![0], &[]));
            }
        }
        to_safetensors(tensors, ("format", "pt"))
    }

    /// The weights, `[in, out]`, and biases, `[1, out]`, that take the place of the denoiser's own.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Fit`] if the model lacks a layer, or has it in another shape.
    pub(super) fn merged(
        &self,
        unet: &UNet2DConditionModel,
        device: &Device,
    ) -> Result<BTreeMap<String, Tensor<2>>, AdapterError> {
        let frozen = unet.projections();
        let merged = self.layers.iter().map(|(layer, weight)| {
            let [output, input] = weight.shape;
            let projection = layer.strip_suffix(".bias");
            let found = frozen.get(projection.unwrap_or(layer)).map(Tensor::dims);
            let found = found.map(|[input, output]| match projection {
                Some(_) => [1, output],
                None => [input, output],
            });
            if found == Some([input, output]) {
                return Ok((layer.clone(), weight.to_device(device).transpose()));
            }
            Err(AdapterError::fit(layer, [input, output], found))
        });
        merged.collect()
    }
}

fn is_bias(layer: &str) -> bool {
    layer.ends_with(".bias")
}

fn transposed(tensor: &HostTensor) -> HostTensor {
    let [rows, columns] = tensor.shape;
    let values = (0..columns)
        .flat_map(|column| (0..rows).map(move |row| tensor.values[row * columns + column]))
        .collect();
    HostTensor { name: tensor.name.clone(), shape: [columns, rows], values }
}
