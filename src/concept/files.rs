//! A learned concept on the host, and the adapter files that diffusers loads.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor};
use dvar_models::unet::UNet2DConditionModel;
use safetensors::SafeTensors;

use super::{AdapterConfig, HostTensor, names};
use crate::{
    embedding::{EmbeddingError, EncoderVectors, LearnedEmbedding},
    tensor::{DeviceError, to_safetensors},
};

/// A concept as it is saved: the vectors and, for methods that train the UNet, its adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedConcept {
    /// The learned vectors.
    pub embedding: LearnedEmbedding,
    /// What the method changed in the UNet; none for Textual Inversion.
    pub adapter: Option<LearnedAdapter>,
}

/// What a method changed in the UNet.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedAdapter {
    kind: Kind,
    /// For each layer: LoRA's `down`, `[rank, in]`, and `up`, `[out, rank]`, with the scale in
    /// it; or Custom Diffusion's weight, `[out, in]`.
    layers: BTreeMap<String, Vec<HostTensor>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Lora,
    CustomDiffusion,
}

/// Why an adapter file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The file is not what its name says.
    #[error("cannot read the adapter `{file}`: {problem}; give a file that `dvar train` wrote")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The model has no such layer, or of another shape.
    #[error(
        "the adapter does not fit this model at `{layer}`: it needs {wanted}, the model has {found}; give the `--model` that it was trained with"
    )]
    Fit {
        /// The layer, by diffusers' name.
        layer: String,
        /// Inputs and outputs.
        wanted: String,
        /// Inputs and outputs, or nothing.
        found: String,
    },
    /// The device failed while a weight was read from it.
    #[error("{0}")]
    Device(#[from] DeviceError),
}

impl LearnedConcept {
    /// Sorts a concept's parameters into vectors and adapter.
    ///
    /// # Errors
    ///
    /// [`EmbeddingError`] if a vector is not finite or there is none.
    pub fn new(
        placeholder_token: &str,
        adapter: AdapterConfig,
        parameters: Vec<HostTensor>,
    ) -> Result<Self, EmbeddingError> {
        let mut encoders = Vec::new();
        let mut rest = Vec::new();
        let mut num_vectors = 0;
        for tensor in parameters {
            let Some(key) = names::encoder_of(&tensor.name).map(|key| key.map(str::to_string))
            else {
                rest.push(tensor);
                continue;
            };
            let [count, dim] = tensor.shape;
            num_vectors = count;
            encoders.push(EncoderVectors { key, values: tensor.values, dim });
        }
        let embedding = LearnedEmbedding::for_encoders(placeholder_token, encoders, num_vectors)?;
        let kind = match adapter {
            AdapterConfig::None => return Ok(Self { embedding, adapter: None }),
            AdapterConfig::Lora { .. } => Kind::Lora,
            AdapterConfig::CustomDiffusion => Kind::CustomDiffusion,
        };
        let mut layers: BTreeMap<String, Vec<HostTensor>> = BTreeMap::new();
        for mut tensor in rest {
            let layer = tensor.name.trim_end_matches(".lora_down").trim_end_matches(".lora_up");
            let layer = layer.to_string();
            match adapter {
                AdapterConfig::Lora { scale, .. } if tensor.name.ends_with(".lora_up") => {
                    tensor.values.iter_mut().for_each(|value| *value *= scale as f32);
                }
                AdapterConfig::CustomDiffusion => tensor = transposed(&tensor),
                _ => {}
            }
            layers.entry(layer).or_default().push(tensor);
        }
        Ok(Self { embedding, adapter: Some(LearnedAdapter { kind, layers }) })
    }
}

impl LearnedAdapter {
    /// The usual name of such a file: what diffusers' `load_lora_weights` and `load_attn_procs`
    /// look for.
    pub fn file_name(&self) -> &'static str {
        match self.kind {
            Kind::Lora => "pytorch_lora_weights.safetensors",
            Kind::CustomDiffusion => "pytorch_custom_diffusion_weights.safetensors",
        }
    }

    /// The adapter as a safetensors file in diffusers' form; equal adapters give equal bytes.
    ///
    /// # Errors
    ///
    /// [`AdapterError::File`] if a tensor's values and shape disagree.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AdapterError> {
        let failed = |problem: safetensors::SafeTensorError| AdapterError::File {
            file: self.file_name().into(),
            problem: problem.to_string(),
        };
        let mut tensors: Vec<(String, Vec<usize>, &[f32])> = Vec::new();
        for (layer, parts) in &self.layers {
            for part in parts {
                let name = match self.kind {
                    Kind::Lora if part.name.ends_with("_down") => {
                        format!("unet.{layer}.lora_A.weight")
                    }
                    Kind::Lora => format!("unet.{layer}.lora_B.weight"),
                    Kind::CustomDiffusion => custom_name(layer),
                };
                tensors.push((name, part.shape.to_vec(), &part.values));
            }
            // diffusers wants every attention named; those that are unchanged by nothing
            let prefix = layer.strip_suffix(".attn2.to_k");
            if let (Kind::CustomDiffusion, Some(prefix)) = (self.kind, prefix) {
                tensors.push((format!("{prefix}.attn1.processor"), vec![0], &[]));
            }
        }
        to_safetensors(tensors, ("format", "pt")).map_err(failed)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`AdapterError::File`] if it is anything else.
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Self, AdapterError> {
        let broken = |problem: String| AdapterError::File { file: file.into(), problem };
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| broken(error.to_string()))?;
        let mut kind = None;
        let mut layers: BTreeMap<String, Vec<HostTensor>> = BTreeMap::new();
        let mut views = tensors.tensors();
        views.sort_by(|(a, _), (b, _)| a.cmp(b)); // LoRA's down before its up
        for (name, view) in views {
            if name.ends_with(".attn1.processor") {
                continue;
            }
            let (layer, part, of) = parse(&name)
                .ok_or_else(|| broken(format!("`{name}` is no tensor of an adapter")))?;
            if *kind.get_or_insert(of) != of {
                return Err(broken("it mixes LoRA and Custom Diffusion".into()));
            }
            let tensor = HostTensor::from_view(part, &view);
            let tensor = tensor.map_err(|problem| broken(format!("`{name}` {problem}")))?;
            if tensor.values.iter().any(|value| !value.is_finite()) {
                return Err(broken(format!("`{name}` holds a value that is not finite")));
            }
            layers.entry(layer).or_default().push(tensor);
        }
        let kind = kind.ok_or_else(|| broken("it holds no tensor".into()))?;
        let parts = if kind == Kind::Lora { 2 } else { 1 };
        if let Some((layer, _)) = layers.iter().find(|(_, found)| found.len() != parts) {
            return Err(broken(format!("`{layer}` is not whole")));
        }
        Ok(Self { kind, layers })
    }

    /// The changed weights as a checkpoint holds them: by diffusers' names, `out * in` values each.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Fit`] if the model lacks a layer, or has it in another shape;
    /// [`AdapterError::Device`] if a weight cannot be read.
    pub async fn merge(
        &self,
        unet: &UNet2DConditionModel,
        device: &Device,
    ) -> Result<BTreeMap<String, Vec<f32>>, AdapterError> {
        let mut weights = BTreeMap::new();
        for (layer, weight) in self.merged(unet, device)? {
            let data = weight.transpose().into_data_async().await;
            let data = data.map_err(DeviceError::new)?;
            weights.insert(format!("{layer}.weight"), data.iter::<f32>().collect());
        }
        Ok(weights)
    }

    /// The weights, `[in, out]`, that take the place of the denoiser's own, with the adapter in
    /// them.
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
        let mut merged = BTreeMap::new();
        for (layer, parts) in &self.layers {
            let (input, output) = match (self.kind, parts.as_slice()) {
                (Kind::Lora, [down, up]) if down.shape[0] == up.shape[1] => {
                    (down.shape[1], up.shape[0])
                }
                (_, parts) => (parts[0].shape[1], parts[0].shape[0]),
            };
            let found = frozen.get(layer);
            let weight = found.filter(|weight| weight.dims() == [input, output]);
            let weight = weight.ok_or_else(|| AdapterError::Fit {
                layer: layer.clone(),
                wanted: format!("{input} to {output}"),
                found: found.map_or("none".into(), |weight| {
                    let [input, output] = weight.dims();
                    format!("{input} to {output}")
                }),
            })?;
            let on_device = |part: usize| -> Tensor<2> { parts[part].to_device(device) };
            let weight = match self.kind {
                Kind::CustomDiffusion => on_device(0).transpose(),
                Kind::Lora => {
                    weight.clone().cast(DType::F32)
                        + on_device(0).transpose().matmul(on_device(1).transpose())
                }
            };
            merged.insert(layer.clone(), weight);
        }
        Ok(merged)
    }
}

/// Custom Diffusion's key or value weight, as diffusers names it.
fn custom_name(layer: &str) -> String {
    match layer.rsplit_once('.') {
        Some((attention, projection)) => {
            format!("{attention}.processor.{projection}_custom_diffusion.weight")
        }
        None => layer.to_string(),
    }
}

/// Layer, part and kind of an adapter file's tensor.
fn parse(name: &str) -> Option<(String, &'static str, Kind)> {
    let name = name.strip_suffix(".weight")?;
    if let Some(lora) = name.strip_prefix("unet.") {
        let down = lora.strip_suffix(".lora_A").map(|layer| (layer.into(), ".lora_down"));
        let up = || Some((lora.strip_suffix(".lora_B")?.into(), ".lora_up"));
        return down.or_else(up).map(|(layer, part)| (layer, part, Kind::Lora));
    }
    let (attention, projection) =
        name.strip_suffix("_custom_diffusion")?.split_once(".processor.")?;
    Some((format!("{attention}.{projection}"), "", Kind::CustomDiffusion))
}

fn transposed(tensor: &HostTensor) -> HostTensor {
    let [rows, columns] = tensor.shape;
    let values = (0..columns)
        .flat_map(|column| (0..rows).map(move |row| tensor.values[row * columns + column]))
        .collect();
    HostTensor { name: tensor.name.clone(), shape: [columns, rows], values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concept(adapter: AdapterConfig) -> LearnedConcept {
        let tensor = |name: &str, shape: [usize; 2]| HostTensor {
            name: name.into(),
            shape,
            values: (0..shape[0] * shape[1]).map(|value| value as f32).collect(),
        };
        let mut parameters = vec![tensor(&names::vectors(None), [1, 3])];
        let layer = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k";
        parameters.extend(match adapter {
            AdapterConfig::None => Vec::new(),
            AdapterConfig::Lora { rank, .. } => vec![
                tensor(&format!("{layer}.lora_down"), [rank, 3]),
                tensor(&format!("{layer}.lora_up"), [5, rank]),
            ],
            AdapterConfig::CustomDiffusion => vec![tensor(layer, [3, 5])],
        });
        LearnedConcept::new("<a>", adapter, parameters).unwrap()
    }

    #[test]
    fn an_adapter_file_comes_back_as_it_was_written() {
        for adapter in [AdapterConfig::Lora { rank: 2, scale: 0.5 }, AdapterConfig::CustomDiffusion]
        {
            let adapter = concept(adapter).adapter.unwrap();
            let bytes = adapter.to_bytes().unwrap();
            let read = LearnedAdapter::from_bytes(&bytes, "file").unwrap();
            assert_eq!(read.to_bytes().unwrap(), bytes);
            for length in [0, 8, 20, bytes.len() - 1] {
                assert!(LearnedAdapter::from_bytes(&bytes[..length], "file").is_err());
            }
        }
    }

    #[test]
    fn textual_inversion_has_no_adapter() {
        assert!(concept(AdapterConfig::None).adapter.is_none());
    }
}
