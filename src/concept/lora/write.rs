//! A LoRA as tools read it.

use std::{borrow::Cow, collections::BTreeMap};

use dvar_models::single_file::UNetNames;
use serde::{Deserialize, Serialize};

use super::{Addition, Factor, Lora, LoraLayer, LoraNames, PUBLISHED_LAYERS, Part, names::FLAT};
use crate::{embedding::LearnedEmbedding, tensor::to_safetensors};

/// Who is to read a LoRA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
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

    /// The file of a LoRA for a denoiser with so many residual blocks in each level. `embedding` lies in a
    /// [`Bundle`](Self::Bundle) alone. Equal input gives equal bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Lora::to_peft`] and [`Lora::to_kohya`].
    pub fn write(
        self,
        lora: &Lora,
        embedding: &LearnedEmbedding,
        layers_per_block: usize,
    ) -> Result<Vec<u8>, String> {
        let bundled = (self == Self::Bundle).then_some(embedding);
        match self {
            Self::Diffusers => lora.to_peft(),
            Self::Kohya | Self::Bundle => lora.to_kohya_of_layers(layers_per_block, bundled),
        }
    }
}

type Named<'a> = (String, Vec<usize>, Cow<'a, [f32]>);

/// The most values at one rank: many times those of any LoRA, and a wrong file's few may become
/// terabytes.
const MOST_VALUES: u64 = 1 << 31;

/// Width of the text encoder of Stable Diffusion 2 alone.
const SECOND_WIDTH: usize = 1024;

impl Lora {
    /// PEFT's names in diffusers' file. Where alpha is not the rank, `up` has their ratio in it: the
    /// loader keeps no alphas that differ from layer to layer. Nor does it the ranks before August 2026,
    /// where it divides one rank by another: zeros give all layers of a network the same.
    ///
    /// # Errors
    ///
    /// If it has whole differences, which PEFT has no names for, if its ranks differ by far, or if two
    /// layers have one name there, in words that fit after the file's name.
    pub fn to_peft(&self) -> Result<Vec<u8>, String> {
        let originals = UNetNames::of_layers(PUBLISHED_LAYERS);
        let ranks = self.largest_ranks()?;
        let mut tensors: Vec<Named<'_>> = Vec::new();
        for ((part, name), layer) in &self.layers {
            let Addition::LowRank { down, up, alpha } = &layer.addition else {
                return Err(format!(
                    "`{}` is the whole difference of a weight, a norm or a bias, which diffusers has no \
                     name for; ComfyUI has",
                    layer.given
                ));
            };
            let name = match part {
                Part::Denoiser => originals.layer(name).unwrap_or_else(|| name.clone()),
                Part::TextEncoder(_) => name.clone(),
            };
            let name = format!("{}.{name}", part.network());
            let scale = self.scale * alpha / down.rows() as f64;
            let (down, up) = (with_rows(down, ranks[part]), with_columns(up, ranks[part]));
            let values = scaled(&up, scale);
            tensors.push((format!("{name}.lora_A.weight"), down.shape, down.values.into()));
            tensors.push((format!("{name}.lora_B.weight"), up.shape, values));
        }
        file(&tensors, ("format", "pt"))
    }

    /// The largest rank in each network.
    fn largest_ranks(&self) -> Result<BTreeMap<Part, usize>, String> {
        let mut ranks = BTreeMap::new();
        for (part, layer) in self.layers() {
            let largest = ranks.entry(part).or_insert(0);
            *largest = layer.rank().unwrap_or(0).max(*largest);
        }
        let values = self.layers().map(|(part, layer)| {
            let sides = layer.sizes().iter().map(|side| *side as u64).sum::<u64>();
            sides.saturating_mul(ranks[&part] as u64)
        });
        match values.fold(0, u64::saturating_add) > MOST_VALUES {
            true => Err("its ranks differ so much that they cannot be made the same".into()),
            false => Ok(ranks),
        }
    }

    /// sd-scripts' names: with SDXL, those of the original code, else diffusers', as it has them; whole
    /// differences by ComfyUI's, `diff` and `diff_b`. `bundled` lies in the same file.
    ///
    /// # Errors
    ///
    /// If it changes more than two text encoders, if it is of a denoiser with more residual blocks in a level
    /// than SDXL, or if two layers have one name there, in words that fit after the file's name.
    pub fn to_kohya(&self, bundled: Option<&LearnedEmbedding>) -> Result<Vec<u8>, String> {
        self.to_kohya_of_layers(PUBLISHED_LAYERS, bundled)
    }

    /// The same for a denoiser with so many residual blocks in each level, by which the original code counts.
    fn to_kohya_of_layers(
        &self,
        layers_per_block: usize,
        bundled: Option<&LearnedEmbedding>,
    ) -> Result<Vec<u8>, String> {
        let originals = UNetNames::of_layers(layers_per_block);
        let is_xl = self.is_xl();
        let mut tensors: Vec<Named<'_>> = Vec::new();
        for ((part, name), layer) in &self.layers {
            // SDXL counts its text encoders from 1
            let mut starts = FLAT.iter().filter(|(_, of)| of == part).map(|(start, _)| *start);
            let start = if is_xl { starts.next_back() } else { starts.next() };
            let start = start.ok_or("it changes a third text encoder, which sd-scripts has not")?;
            let needed = if is_xl { layers_for(name) } else { 0 };
            if *part == Part::Denoiser && needed > layers_per_block {
                return Err(format!(
                    "`{}` is of a denoiser with more than {layers_per_block} residual blocks in a level; \
                     sd-scripts' names count these, and the file does not say how many there are",
                    layer.given
                ));
            }
            let name = match part {
                Part::Denoiser if is_xl => originals.original_layer(name),
                Part::Denoiser => originals.layer(name),
                Part::TextEncoder(_) => None,
            }
            .unwrap_or_else(|| name.clone());
            let (name, difference) = match name.strip_suffix(".bias") {
                Some(layer) => (layer, "diff_b"),
                None => (&*name, "diff"),
            };
            let key = format!("{start}{}", name.replace('.', "_"));
            match &layer.addition {
                Addition::LowRank { down, up, alpha } => {
                    let name = |piece: &str| format!("{key}.{piece}");
                    let alpha = vec![(alpha * self.scale) as f32];
                    tensors.push((name("lora_down.weight"), down.shape.clone(), as_is(down)));
                    tensors.push((name("lora_up.weight"), up.shape.clone(), as_is(up)));
                    tensors.push((name("alpha"), Vec::new(), alpha.into()));
                }
                Addition::Whole(whole) => {
                    let values = scaled(whole, self.scale);
                    tensors.push((format!("{key}.{difference}"), whole.shape.clone(), values));
                }
            }
        }
        let bundled = bundled.into_iter().flat_map(LearnedEmbedding::bundled);
        tensors.extend(bundled.map(|(name, shape, values)| (name, shape, values.into())));
        file(&tensors, self.base_model())
    }

    /// What A1111 tells the base model by: it takes a file with any other metadata for one of Stable
    /// Diffusion 1, and lists it beside no other model.
    fn base_model(&self) -> (&'static str, &'static str) {
        let reads_text = |(part, name): &(Part, String)| {
            let attends = [".attn2.to_k", ".attn2.to_v"].iter().any(|end| name.ends_with(end));
            *part != Part::Denoiser || attends
        };
        let is_second = |(key, layer): (&(Part, String), &LoraLayer)| {
            reads_text(key) && layer.sizes()[0] == SECOND_WIDTH
        };
        if self.is_xl() {
            ("ss_base_model_version", "sdxl_base_v1-0")
        } else if self.layers.iter().any(is_second) {
            ("ss_v2", "True")
        } else {
            ("ss_base_model_version", "sd_v1")
        }
    }

    /// Whether it is of SDXL: the only family here with a second text encoder, and with more than one
    /// transformer block in an attention.
    fn is_xl(&self) -> bool {
        self.layers.keys().any(|(part, name)| match part {
            Part::TextEncoder(number) => *number > 0,
            Part::Denoiser => name.contains(".transformer_blocks.1."),
        })
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

/// The fewest residual blocks in a level with which there is a layer of this name, by diffusers' names.
fn layers_for(name: &str) -> usize {
    let mut words = name.split('.');
    let (blocks, kind, index) = (words.next(), words.nth(1), words.next());
    let index = index.and_then(|index| index.parse::<usize>().ok());
    match (blocks, kind, index) {
        (Some("down_blocks"), Some("resnets" | "attentions"), Some(index)) => {
            index.saturating_add(1)
        }
        // on the way up there is one more
        (Some("up_blocks"), Some("resnets" | "attentions"), Some(index)) => index,
        _ => 0,
    }
}

fn as_is(factor: &Factor) -> Cow<'_, [f32]> {
    Cow::Borrowed(&factor.values)
}

fn scaled(factor: &Factor, scale: f64) -> Cow<'static, [f32]> {
    factor.values.iter().map(|value| (f64::from(*value) * scale) as f32).collect()
}

/// With rows of zeros behind its own.
fn with_rows(down: &Factor, rows: usize) -> Factor {
    let mut down = down.clone();
    down.values.resize(rows * down.columns(), 0.0);
    down.shape[0] = rows;
    down
}

/// With columns of zeros behind its own.
fn with_columns(up: &Factor, columns: usize) -> Factor {
    let row = |row: &[f32]| {
        let mut row = row.to_vec();
        row.resize(columns, 0.0);
        row
    };
    let values = up.values.chunks(up.columns()).flat_map(row).collect();
    let mut shape = up.shape.clone();
    if let Some(rank) = shape.get_mut(1) {
        *rank = columns;
    }
    Factor { shape, values }
}

fn file(tensors: &[Named<'_>], metadata: (&str, &str)) -> Result<Vec<u8>, String> {
    let tensors =
        tensors.iter().map(|(name, shape, values)| (name.clone(), shape.clone(), &values[..]));
    to_safetensors(tensors, metadata)
}
