//! A learned concept on the host, and the adapter files that diffusers loads.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read, Seek},
};

use burn::tensor::{Device, Tensor};
use dvar_models::unet::UNet2DConditionModel;

use super::{
    AdapterConfig, AdapterError, CustomDiffusion, HostTensor, Lora,
    adapter::{DOWN, UP},
    names,
    stored::Stored,
};
use crate::{
    embedding::{EmbeddingError, EncoderVectors, LearnedEmbedding},
    pipelines::PromptEncoder,
    tensor::read,
};

/// A concept as it is saved: the vectors and, for methods that train the UNet, its adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedConcept {
    /// The learned vectors.
    pub embedding: LearnedEmbedding,
    /// What the method changed in the UNet; none for Textual Inversion.
    pub adapter: Option<LearnedAdapter>,
}

/// What is changed in a model's weights.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LearnedAdapter {
    /// Low-rank additions, of a run's own or of any tool.
    Lora(Lora),
    /// Custom Diffusion's keys and values.
    CustomDiffusion(CustomDiffusion),
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
        let adapter = match adapter {
            AdapterConfig::None => None,
            AdapterConfig::Lora { scale, .. } => {
                Some(LearnedAdapter::Lora(Lora::of_denoiser(pairs(rest, scale))))
            }
            AdapterConfig::CustomDiffusion => {
                Some(LearnedAdapter::CustomDiffusion(CustomDiffusion::new(rest)))
            }
        };
        Ok(Self { embedding, adapter })
    }
}

/// LoRA's `down` and `up` of each layer, with the scale in the latter.
fn pairs(trained: Vec<HostTensor>, scale: f64) -> BTreeMap<String, (HostTensor, HostTensor)> {
    let (downs, ups): (Vec<_>, Vec<_>) =
        trained.into_iter().partition(|tensor| tensor.name.ends_with(DOWN));
    let layer = |tensor: &HostTensor, ending: &str| {
        tensor.name.strip_suffix(ending).unwrap_or(&tensor.name).to_string()
    };
    let mut ups: BTreeMap<String, HostTensor> =
        ups.into_iter().map(|up| (layer(&up, UP), up)).collect();
    let pair = |down: HostTensor| {
        let layer = layer(&down, DOWN);
        let mut up = ups.remove(&layer)?;
        up.values.iter_mut().for_each(|value| *value *= scale as f32);
        Some((layer, (down, up)))
    };
    downs.into_iter().filter_map(pair).collect()
}

impl LearnedAdapter {
    /// The usual name of a LoRA's file and of Custom Diffusion's: what diffusers' `load_lora_weights`
    /// and `load_attn_procs` look for.
    pub const FILE_NAMES: [&'static str; 2] =
        ["pytorch_lora_weights.safetensors", "pytorch_custom_diffusion_weights.safetensors"];

    /// The usual name of its file.
    pub fn file_name(&self) -> &'static str {
        let [lora, custom_diffusion] = Self::FILE_NAMES;
        match self {
            Self::Lora(_) => lora,
            Self::CustomDiffusion(_) => custom_diffusion,
        }
    }

    /// The adapter as a safetensors file in diffusers' form; equal adapters give equal bytes.
    ///
    /// # Errors
    ///
    /// [`AdapterError::File`] if a tensor's values and shape disagree.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AdapterError> {
        let bytes = match self {
            Self::Lora(lora) => lora.to_peft(),
            Self::CustomDiffusion(weights) => weights.to_bytes(),
        };
        bytes.map_err(|problem| AdapterError::File { file: self.file_name().into(), problem })
    }

    /// Reads a LoRA of any tool, or Custom Diffusion's weights, from a safetensors file or one of
    /// PyTorch; `file` is what messages call it.
    ///
    /// # Errors
    ///
    /// [`AdapterError::File`] if it is anything else.
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Self, AdapterError> {
        Self::with_peft_config(bytes, file, None)
    }

    /// The same with PEFT's `adapter_config.json`, which lies beside a file that PEFT wrote itself and
    /// holds what such a file does not say.
    ///
    /// # Errors
    ///
    /// [`AdapterError::File`] as [`from_bytes`](Self::from_bytes), and if the configuration is broken.
    pub fn with_peft_config(
        bytes: &[u8],
        file: &str,
        config: Option<&str>,
    ) -> Result<Self, AdapterError> {
        Self::read_from(&mut Cursor::new(bytes), file, config)
    }

    /// The same from a file, of which no value is read where the names of its tensors say that it is
    /// something else.
    ///
    /// # Errors
    ///
    /// Those of [`with_peft_config`](Self::with_peft_config).
    pub fn read_from(
        reader: &mut (impl Read + Seek),
        file: &str,
        config: Option<&str>,
    ) -> Result<Self, AdapterError> {
        let mut read = || {
            let mut is_custom_diffusion = false;
            let stored = Stored::read(reader, &mut |names| {
                is_custom_diffusion = CustomDiffusion::is_in(names);
                if is_custom_diffusion { Ok(()) } else { Lora::check_names(names) }
            })?;
            if is_custom_diffusion {
                return Ok(Self::CustomDiffusion(CustomDiffusion::read(stored)?));
            }
            Ok(Self::Lora(Lora::read(file, stored, config)?))
        };
        read().map_err(|problem| AdapterError::File { file: file.into(), problem })
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
        device: &Device,
    ) -> Result<(UNet2DConditionModel, PromptEncoder), AdapterError> {
        match self {
            Self::Lora(lora) => lora.apply(unet, encoder),
            Self::CustomDiffusion(weights) => {
                let weights = weights.merged(&unet, device)?;
                Ok((unet.with_weights(&weights), encoder))
            }
        }
    }

    /// The changed weights and biases as a checkpoint holds them: by diffusers' names, `out * in` values
    /// each.
    ///
    /// # Errors
    ///
    /// [`AdapterError`] if the model lacks a layer, or has it in another shape, if more than the
    /// denoiser is changed, or if a weight cannot be read.
    pub async fn merge(
        &self,
        unet: &UNet2DConditionModel,
        device: &Device,
    ) -> Result<BTreeMap<String, Vec<f32>>, AdapterError> {
        let mut weights = BTreeMap::new();
        for (layer, weight) in self.merged(unet, device)? {
            let name = if layer.ends_with(".bias") { layer } else { format!("{layer}.weight") };
            weights.insert(name, read(weight.transpose()).await?);
        }
        Ok(weights)
    }

    /// The weights and biases, `[in, out]`, that take the place of the denoiser's own, with the adapter in
    /// them.
    ///
    /// # Errors
    ///
    /// Those of [`merge`](Self::merge).
    pub(super) fn merged(
        &self,
        unet: &UNet2DConditionModel,
        device: &Device,
    ) -> Result<BTreeMap<String, Tensor<2>>, AdapterError> {
        match self {
            Self::Lora(lora) => lora.merged(unet),
            Self::CustomDiffusion(weights) => weights.merged(unet, device),
        }
    }
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
