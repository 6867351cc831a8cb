//! The files that a folder of each kind has beside its weights.

use std::{borrow::Cow, collections::BTreeMap};

use super::kind::Kind;
use crate::{tokenizer::openai_clip, weights::Memory};

/// The configurations of a kind.
struct Configs {
    model_index: &'static str,
    text_encoders: &'static [TextEncoder],
    unet: &'static str,
    vae: &'static str,
    scheduler: &'static str,
}

struct TextEncoder {
    /// Behind `text_encoder` and `tokenizer` in the folders' names.
    suffix: &'static str,
    config: &'static str,
    /// What fills a prompt up.
    pad_token: &'static str,
}

const STABLE_DIFFUSION: &str = include_str!("configs/model_index.json");
const VAE_CONFIG: &str = include_str!("configs/vae.json");

impl Kind {
    /// Where they are from: `configs/README.md`.
    fn configs(self) -> Configs {
        match self {
            Self::StableDiffusion1 => Configs {
                model_index: STABLE_DIFFUSION,
                text_encoders: &[TextEncoder {
                    suffix: "",
                    config: include_str!("configs/sd-v1/text_encoder.json"),
                    pad_token: "<|endoftext|>",
                }],
                unet: include_str!("configs/sd-v1/unet.json"),
                vae: VAE_CONFIG,
                scheduler: include_str!("configs/sd-v1/scheduler.json"),
            },
            Self::StableDiffusion1Velocity => Configs {
                scheduler: include_str!("configs/sd-v1/scheduler_velocity.json"),
                ..Self::StableDiffusion1.configs()
            },
            Self::StableDiffusion1ZeroSnr => Configs {
                scheduler: include_str!("configs/sd-v1/scheduler_zero_snr.json"),
                ..Self::StableDiffusion1.configs()
            },
            Self::StableDiffusion2 => Configs {
                model_index: STABLE_DIFFUSION,
                text_encoders: &[TextEncoder {
                    suffix: "",
                    config: include_str!("configs/sd-v2/text_encoder.json"),
                    pad_token: "!",
                }],
                unet: include_str!("configs/sd-v2/unet.json"),
                vae: VAE_CONFIG,
                scheduler: include_str!("configs/sd-v2/scheduler.json"),
            },
            Self::StableDiffusion2Base => Configs {
                unet: include_str!("configs/sd-v2/unet_base.json"),
                scheduler: include_str!("configs/sd-v2/scheduler_base.json"),
                ..Self::StableDiffusion2.configs()
            },
            Self::StableDiffusionXl => Configs {
                model_index: include_str!("configs/sdxl/model_index.json"),
                text_encoders: &[
                    TextEncoder {
                        suffix: "",
                        config: include_str!("configs/sdxl/text_encoder.json"),
                        pad_token: "<|endoftext|>",
                    },
                    TextEncoder {
                        suffix: "_2",
                        config: include_str!("configs/sdxl/text_encoder_2.json"),
                        pad_token: "!",
                    },
                ],
                unet: include_str!("configs/sdxl/unet.json"),
                vae: include_str!("configs/sdxl/vae.json"),
                scheduler: include_str!("configs/sdxl/scheduler.json"),
            },
            Self::StableDiffusionXlVelocity => Configs {
                scheduler: include_str!("configs/sdxl/scheduler_velocity.json"),
                ..Self::StableDiffusionXl.configs()
            },
            Self::StableDiffusionXlZeroSnr => Configs {
                scheduler: include_str!("configs/sdxl/scheduler_zero_snr.json"),
                ..Self::StableDiffusionXl.configs()
            },
        }
    }

    /// The files of a folder of this kind but its weights: configurations and CLIP's tokenizer.
    pub fn files(self) -> Memory {
        let configs = self.configs();
        let mut files = BTreeMap::<String, Cow<'static, [u8]>>::new();
        for (file, text) in [
            ("model_index.json", configs.model_index),
            ("unet/config.json", configs.unet),
            ("vae/config.json", configs.vae),
            ("scheduler/scheduler_config.json", configs.scheduler),
        ] {
            files.insert(file.into(), Cow::Borrowed(text.as_bytes()));
        }
        let vocab = openai_clip::vocab_json().into_bytes();
        for TextEncoder { suffix, config, pad_token } in configs.text_encoders {
            let special = format!(r#"{{ "pad_token": "{pad_token}" }}"#).into_bytes();
            let merges = Cow::Borrowed(openai_clip::MERGES.as_bytes());
            let encoder = format!("text_encoder{suffix}/config.json");
            files.insert(encoder, Cow::Borrowed(config.as_bytes()));
            let tokenizer = |file: &str| format!("tokenizer{suffix}/{file}");
            files.insert(tokenizer("merges.txt"), merges);
            files.insert(tokenizer("special_tokens_map.json"), Cow::Owned(special));
            files.insert(tokenizer("vocab.json"), Cow::Owned(vocab.clone()));
        }
        Memory(files)
    }
}
