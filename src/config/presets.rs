//! Settings of the paper's experiments, by name.

use super::{ConfigError, TrainOptions};

/// A named set of options; flags and configuration files win over it, it wins over the model's own
/// advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
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
    ///
    /// # Errors
    ///
    /// None: the presets are part of the program, and tested.
    pub fn options(self) -> Result<TrainOptions, ConfigError> {
        let (name, text) = match self {
            Self::PaperSd => ("paper-sd", include_str!("presets/paper-sd.toml")),
            Self::PaperLdm => ("paper-ldm", include_str!("presets/paper-ldm.toml")),
            Self::NeuripsInversion => {
                ("neurips-inversion", include_str!("presets/neurips-inversion.toml"))
            }
            Self::NeuripsCustom => ("neurips-custom", include_str!("presets/neurips-custom.toml")),
            Self::NeuripsDreambooth => {
                ("neurips-dreambooth", include_str!("presets/neurips-dreambooth.toml"))
            }
            Self::Quick => ("quick", include_str!("presets/quick.toml")),
            Self::Official => ("official", include_str!("presets/official.toml")),
        };
        TrainOptions::from_toml(text, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;

    #[test]
    fn every_preset_is_a_whole_run_once_it_has_pictures_and_a_name() {
        for preset in [
            Preset::PaperSd,
            Preset::PaperLdm,
            Preset::NeuripsInversion,
            Preset::NeuripsCustom,
            Preset::NeuripsDreambooth,
            Preset::Quick,
            Preset::Official,
        ] {
            let given = TrainOptions {
                train_data_dir: Some("pictures".into()),
                placeholder_token: Some("<new>".into()),
                class_prompt: Some("cat".into()),
                initializer_token: Some("cat".into()),
                ..TrainOptions::default()
            };
            let options = given.over(&preset.options().unwrap()).unwrap();
            TrainConfig::new(&options.with_defaults().unwrap()).unwrap();
        }
    }

    #[test]
    fn scaled_rates_are_those_of_the_papers() {
        let rate = |preset: Preset| {
            let options = TrainOptions {
                train_data_dir: Some("pictures".into()),
                placeholder_token: Some("<new>".into()),
                class_prompt: Some("cat".into()),
                ..preset.options().unwrap()
            };
            let config = TrainConfig::new(&options.with_defaults().unwrap()).unwrap();
            config.trainer.lr_schedule.base_lr
        };
        assert_eq!(rate(Preset::PaperSd), 2e-2);
        assert_eq!(rate(Preset::NeuripsInversion), 1e-2);
        assert_eq!(rate(Preset::NeuripsCustom), 4e-5);
        assert_eq!(rate(Preset::NeuripsDreambooth), 1e-3);
    }
}
