//! The forms in which other tools read embeddings.

use serde::{Deserialize, Serialize};

use super::{
    super::{EncoderVectors, LearnedEmbedding},
    names::{AUTOMATIC1111, BUNDLE, KOHYA, ONETRAINER},
    safetensors::write_as,
    torch_zip,
};

/// Who is to read an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum EmbeddingFormat {
    /// `load_textual_inversion`: a file for each text encoder.
    Diffusers,
    /// AUTOMATIC1111 and what descends from it: `.pt`, or for SDXL `.safetensors`.
    A1111,
    /// sd-scripts.
    Kohya,
    /// ComfyUI, which reads kohya's file.
    Comfyui,
    /// OneTrainer.
    Onetrainer,
}

/// One file of an embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// What its name ends in, behind the name that all files of the embedding begin with.
    pub ending: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl EmbeddingFormat {
    /// What options call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Diffusers => "diffusers",
            Self::A1111 => "a1111",
            Self::Kohya => "kohya",
            Self::Comfyui => "comfyui",
            Self::Onetrainer => "onetrainer",
        }
    }

    /// Whether its reader takes the file's name for the token, whatever the file says.
    pub fn is_named_by_file(self) -> bool {
        self != Self::Diffusers
    }

    /// The embedding's files: one, but for diffusers, which reads one for each text encoder. Equal
    /// embeddings give equal bytes.
    pub fn write(self, embedding: &LearnedEmbedding) -> Vec<Written> {
        const METADATA: (&str, &str) = ("format", "pt");
        let safetensors = |nameless| Written {
            ending: ".safetensors".into(),
            bytes: write_as(embedding, nameless, METADATA),
        };
        match (self, embedding.encoders()) {
            (Self::Diffusers, encoders) => {
                let token = embedding.placeholder_token();
                let files = encoders.iter().enumerate().map(|(index, encoder)| Written {
                    ending: match index {
                        0 => ".safetensors".into(),
                        _ => format!("_{}.safetensors", index + 1),
                    },
                    bytes: write_as(&alone(embedding, encoder), token, METADATA),
                });
                files.collect()
            }
            (Self::A1111, [EncoderVectors { key: None, values, dim }]) => {
                let shape = [embedding.num_vectors(), *dim];
                let bytes = torch_zip::automatic1111(embedding.placeholder_token(), values, shape);
                vec![Written { ending: ".pt".into(), bytes }]
            }
            (Self::Onetrainer, _) => vec![safetensors(ONETRAINER)],
            (Self::A1111 | Self::Kohya | Self::Comfyui, _) => vec![safetensors(KOHYA)],
        }
    }
}

impl LearnedEmbedding {
    /// Its tensors as they lie inside of a LoRA: names, shapes and values.
    pub(crate) fn bundled(&self) -> impl Iterator<Item = (String, Vec<usize>, &[f32])> {
        self.encoders().iter().map(|encoder| {
            let token = self.placeholder_token();
            let name = match &encoder.key {
                Some(key) => format!("{BUNDLE}{token}.{key}"),
                None => format!("{BUNDLE}{token}{AUTOMATIC1111}"),
            };
            (name, vec![self.num_vectors(), encoder.dim], &encoder.values[..])
        })
    }
}

/// One text encoder's vectors as if it were the only one.
fn alone(embedding: &LearnedEmbedding, encoder: &EncoderVectors) -> LearnedEmbedding {
    let (token, count) = (embedding.placeholder_token(), embedding.num_vectors());
    LearnedEmbedding::new(token, encoder.values.clone(), count, encoder.dim)
        .expect("vectors that were checked")
}
