//! A LoRA as tools read it.

use dvar_models::single_file::UNetNames;
use serde::{Deserialize, Serialize};

use super::{Lora, LoraLayer, LoraNames, PUBLISHED_LAYERS, Part, names::FLAT};
use crate::{embedding::LearnedEmbedding, tensor::to_safetensors};

/// Who is to read a LoRA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LoraFormat {
    /// `load_lora_weights`, by PEFT's names.
    Diffusers,
    /// sd-scripts, A1111, ComfyUI.
    Kohya,
    /// kohya's file with the learned embedding in it, as OneTrainer writes and ComfyUI reads it.
    Bundle,
}

impl LoraFormat {
    /// What options call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Diffusers => "diffusers",
            Self::Kohya => "kohya",
            Self::Bundle => "bundle",
        }
    }

    /// The file. `embedding` lies in a [`Bundle`](Self::Bundle) alone. Equal input gives equal bytes.
    ///
    /// # Errors
    ///
    /// If a tensor's values and shape disagree, in words that fit after the file's name.
    pub fn write(self, lora: &Lora, embedding: &LearnedEmbedding) -> Result<Vec<u8>, String> {
        let bundled = (self == Self::Bundle).then_some(embedding);
        match self {
            Self::Diffusers => lora.to_peft(),
            Self::Kohya | Self::Bundle => lora.to_kohya(bundled),
        }
    }
}

type Named<'a> = (String, Vec<usize>, &'a [f32]);

impl Lora {
    /// PEFT's names in diffusers' file. Where alpha is not the rank, `up` has their ratio in it: the
    /// loader keeps no alphas that differ from layer to layer.
    ///
    /// # Errors
    ///
    /// If a tensor's values and shape disagree, in words that fit after the file's name.
    pub fn to_peft(&self) -> Result<Vec<u8>, String> {
        let originals = UNetNames::of_layers(PUBLISHED_LAYERS);
        let ups: Vec<Vec<f32>> = self.layers.values().map(|layer| self.scaled_up(layer)).collect();
        let mut tensors: Vec<Named<'_>> = Vec::new();
        for (((part, name), layer), up) in self.layers.iter().zip(&ups) {
            let network = match part {
                Part::Denoiser => "unet".to_string(),
                Part::TextEncoder(0) => "text_encoder".into(),
                Part::TextEncoder(number) => format!("text_encoder_{}", number + 1),
            };
            let name = match part {
                Part::Denoiser => originals.layer(name).unwrap_or_else(|| name.clone()),
                Part::TextEncoder(_) => name.clone(),
            };
            let LoraLayer { down: a, up: b, .. } = layer;
            tensors.push((format!("{network}.{name}.lora_A.weight"), a.shape.clone(), &a.values));
            tensors.push((format!("{network}.{name}.lora_B.weight"), b.shape.clone(), up));
        }
        to_safetensors(tensors, ("format", "pt")).map_err(|error| error.to_string())
    }

    /// sd-scripts' names: with SDXL, those of the original code, else diffusers', as it has them.
    /// `bundled` lies in the same file.
    ///
    /// # Errors
    ///
    /// If a tensor's values and shape disagree, in words that fit after the file's name.
    pub fn to_kohya(&self, bundled: Option<&LearnedEmbedding>) -> Result<Vec<u8>, String> {
        let originals = UNetNames::of_layers(PUBLISHED_LAYERS);
        let is_xl = self.is_xl();
        let scale = self.scale;
        let alphas: Vec<[f32; 1]> =
            self.layers.values().map(|layer| [(layer.alpha * scale) as f32]).collect();
        let mut tensors: Vec<Named<'_>> = Vec::new();
        for (((part, name), layer), alpha) in self.layers.iter().zip(&alphas) {
            // SDXL counts its text encoders from 1
            let mut starts = FLAT.iter().filter(|(_, of)| of == part).map(|(start, _)| *start);
            let start = if is_xl { starts.next_back() } else { starts.next() };
            let start = start.ok_or("it changes a third text encoder, which sd-scripts has not")?;
            let name = match part {
                Part::Denoiser if is_xl => originals.original_layer(name),
                Part::Denoiser => originals.layer(name),
                Part::TextEncoder(_) => None,
            }
            .unwrap_or_else(|| name.clone());
            let key = format!("{start}{}", name.replace('.', "_"));
            let LoraLayer { down, up, .. } = layer;
            tensors.push((format!("{key}.lora_down.weight"), down.shape.clone(), &down.values));
            tensors.push((format!("{key}.lora_up.weight"), up.shape.clone(), &up.values));
            tensors.push((format!("{key}.alpha"), Vec::new(), alpha));
        }
        tensors.extend(bundled.into_iter().flat_map(LearnedEmbedding::bundled));
        to_safetensors(tensors, ("ss_network_module", "networks.lora"))
            .map_err(|error| error.to_string())
    }

    /// Whether it is of SDXL: the only family here with a second text encoder, and with more than one
    /// transformer block in an attention.
    fn is_xl(&self) -> bool {
        self.layers.keys().any(|(part, name)| match part {
            Part::TextEncoder(number) => *number > 0,
            Part::Denoiser => name.contains(".transformer_blocks.1."),
        })
    }

    fn scaled_up(&self, layer: &LoraLayer) -> Vec<f32> {
        let scale = self.scale * layer.alpha / layer.rank() as f64;
        layer.up.values.iter().map(|value| (f64::from(*value) * scale) as f32).collect()
    }

    /// In what its file names tensors, in words.
    pub fn format_in_words(&self) -> &'static str {
        match self.names {
            LoraNames::Peft => "diffusers (PEFT)",
            LoraNames::OldDiffusers => "diffusers before PEFT",
            LoraNames::Kohya => "kohya",
            LoraNames::Lycoris => "LyCORIS",
            LoraNames::Original => "ComfyUI",
        }
    }
}
