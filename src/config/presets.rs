//! Settings of the paper's experiments, by name.

use super::TrainOptions;

/// A named set of options; flags and configuration files win over it, it wins over the model's own
/// advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Preset {
    /// The paper's first version, Stable Diffusion v1-5.
    PaperSd,
    /// The paper's first version, CompVis' LDM.
    PaperLdm,
    /// The paper's NeurIPS version, Textual Inversion.
    NeuripsInversion,
    /// The paper's NeurIPS version, Custom Diffusion.
    NeuripsCustom,
    /// The paper's NeurIPS version, DreamBooth-LoRA.
    NeuripsDreambooth,
    /// A first look at a concept.
    Quick,
    /// What the official code takes where a flag is left out.
    Official,
}

impl Preset {
    /// The preset's options; all others are left open.
    pub fn options(self) -> TrainOptions {
        TrainOptions::built_in(match self {
            Self::PaperSd => include_str!("presets/paper-sd.toml"),
            Self::PaperLdm => include_str!("presets/paper-ldm.toml"),
            Self::NeuripsInversion => include_str!("presets/neurips-inversion.toml"),
            Self::NeuripsCustom => include_str!("presets/neurips-custom.toml"),
            Self::NeuripsDreambooth => include_str!("presets/neurips-dreambooth.toml"),
            Self::Quick => include_str!("presets/quick.toml"),
            Self::Official => include_str!("presets/official.toml"),
        })
    }
}

#[cfg(test)]
mod tests {
    use dvar_models::tokenizer::{PromptTokenizer, openai_clip};

    use super::*;
    use crate::config::TrainConfig;

    const ALL: [Preset; 7] = [
        Preset::PaperSd,
        Preset::PaperLdm,
        Preset::NeuripsInversion,
        Preset::NeuripsCustom,
        Preset::NeuripsDreambooth,
        Preset::Quick,
        Preset::Official,
    ];

    /// What no preset holds.
    fn given() -> TrainOptions {
        let mut given = TrainOptions::default();
        given.data.train_data_dir = Some("pictures".into());
        given.data.placeholder_token = Some("<new>".into());
        given.method.class_prompt = Some("cat".into());
        given.start.initializer_token = Some("cat".into());
        given
    }

    #[test]
    fn every_preset_is_a_whole_run_once_it_has_pictures_and_a_name() {
        for preset in ALL {
            TrainConfig::new(&given().over(&preset.options()).unwrap()).unwrap();
        }
    }

    #[test]
    fn every_word_to_start_from_is_one_of_the_published_models() {
        let vocab = openai_clip::vocab_json();
        let merges = openai_clip::MERGES.as_bytes();
        let tokenizer = PromptTokenizer::clip(vocab.as_bytes(), merges, None, None).unwrap();
        for word in ALL.iter().filter_map(|preset| preset.options().start.initializer_token) {
            tokenizer.initializer_id(&word).unwrap();
        }
    }

    #[test]
    fn scaled_rates_are_those_of_the_papers() {
        let rate = |preset: Preset| {
            let config = TrainConfig::new(&preset.options().over(&given()).unwrap()).unwrap();
            config.trainer.lr_schedule.base_lr
        };
        assert_eq!(rate(Preset::PaperSd), 2e-2);
        assert_eq!(rate(Preset::NeuripsInversion), 1e-2);
        assert_eq!(rate(Preset::NeuripsCustom), 4e-5);
        assert_eq!(rate(Preset::NeuripsDreambooth), 1e-3);
    }
}
