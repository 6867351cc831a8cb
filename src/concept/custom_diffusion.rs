//! The key and value weights that Custom Diffusion learned, and their file in diffusers' form.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use dvar_models::unet::UNet2DConditionModel;

use super::{AdapterError, HostTensor, stored::Stored};
use crate::tensor::to_safetensors;

/// Whole weights of the denoiser's attention to the text.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomDiffusion {
    /// `[out, in]`, by the layer's name.
    layers: BTreeMap<String, HostTensor>,
}

/// What the name of each of its tensors ends in.
const ENDING: &str = "_custom_diffusion.weight";

impl CustomDiffusion {
    /// Of trained weights, `[in, out]`.
    pub(super) fn new(trained: Vec<HostTensor>) -> Self {
        let layers = trained.iter().map(|tensor| (tensor.name.clone(), transposed(tensor)));
        Self { layers: layers.collect() }
    }

    /// Whether a file's tensors are such.
    pub(super) fn is_in(stored: &Stored) -> bool {
        stored.tensors.keys().any(|name| name.ends_with(ENDING))
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
            let layer = name.strip_suffix(ENDING).and_then(|name| name.split_once(".processor."));
            let Some((attention, projection)) = layer else {
                return Err(format!("`{name}` is no tensor of Custom Diffusion"));
            };
            let &[rows, columns] = &shape[..] else {
                return Err(format!("`{name}` is no matrix"));
            };
            if values.iter().any(|value| !value.is_finite()) {
                return Err(format!("`{name}` holds a value that is not finite"));
            }
            let layer = format!("{attention}.{projection}");
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
            let Some((attention, projection)) = layer.rsplit_once('.') else { continue };
            let name = format!("{attention}.processor.{projection}{ENDING}");
            tensors.push((name, weight.shape.to_vec(), &weight.values));
            if let Some(block) = layer.strip_suffix(".attn2.to_k") {
                tensors.push((format!("{block}.attn1.processor"), vec![0], &[]));
            }
        }
        to_safetensors(tensors, ("format", "pt")).map_err(|error| error.to_string())
    }

    /// The weights, `[in, out]`, that take the place of the denoiser's own.
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
            let found = frozen.get(layer).map(Tensor::dims);
            if found == Some([input, output]) {
                return Ok((layer.clone(), weight.to_device(device).transpose()));
            }
            Err(AdapterError::Fit {
                layer: layer.clone(),
                wanted: format!("{input} to {output}"),
                found: found
                    .map_or("none".into(), |[input, output]| format!("{input} to {output}")),
            })
        });
        merged.collect()
    }
}

fn transposed(tensor: &HostTensor) -> HostTensor {
    let [rows, columns] = tensor.shape;
    let values = (0..columns)
        .flat_map(|column| (0..rows).map(move |row| tensor.values[row * columns + column]))
        .collect();
    HostTensor { name: tensor.name.clone(), shape: [columns, rows], values }
}
