//! Models that were made to draw in a few steps, of which often nothing tells but a name.

/// What is said of them.
pub(super) const FAST: &str = "it was made to draw in a few steps (turbo, lightning, DMD2 or LCM), and \
                               cannot be trained by its base model's loss; give the base model";

/// What is said of models whose files have such a name.
pub(super) const CALLED_FAST: &str = "by its name, it was made to draw in a few steps (turbo, lightning, DMD2 or LCM), and cannot be \
     trained by its base model's loss; give the base model, or rename the file if this is wrong";

/// What is said of models that have such a title.
pub(super) const TITLED_FAST: &str = "by the title in its metadata, it was made to draw in a few steps (turbo, lightning, DMD2 or LCM); \
     if that is right, it cannot be trained by its base model's loss: give the base model";

/// What is said of models whose name is no more than a sign of it, or cannot be changed.
const PERHAPS_FAST: &str = "by its name, it may have been made to draw in a few steps (turbo, lightning, DMD2, LCM or \
     Hyper-SD); if that is right, it cannot be trained by its base model's loss: give the base model";

/// Whether a name says that the model was made to draw in a few steps. Civitai writes its words together.
pub(super) fn is_fast(name: &str) -> bool {
    let small = name.to_lowercase();
    let mut words = small.split(|c: char| !c.is_alphanumeric());
    // so short that it may lie within other words
    words.any(|word| word == "lcm")
        || name.contains("LCM")
        || ["turbo", "lightning", "dmd2"].iter().any(|part| small.contains(part))
}

/// What to say of a model by the name of its file, its folder or its repository, where nobody is to be refused
/// for it.
pub fn doubt_of_name(name: &str) -> Option<&'static str> {
    (is_fast(name) || is_called_hyper(name)).then_some(PERHAPS_FAST)
}

/// Whether a name has Hyper-SD's word by itself, which others have for what is more than real.
fn is_called_hyper(name: &str) -> bool {
    let small = name.to_ascii_lowercase();
    small.match_indices("hyper").any(|(at, word)| {
        let (before, behind) = (&name[..at], &name[at + word.len()..]);
        let begins = name[at..].starts_with('H') || !before.ends_with(char::is_alphabetic);
        let ends = !behind.starts_with(|c: char| c.is_ascii_lowercase());
        let next = behind.trim_start_matches(['-', '_', ' ']).to_ascii_lowercase();
        begins && ends && !next.starts_with("real")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_for_few_steps_is_told_by_a_name_of_words_that_are_written_together() {
        for name in [
            "sd_xl_turbo_1.0_fp16.safetensors",
            "dreamshaperXL_v21TurboDPMSDE.safetensors",
            "dreamshaperXL_lightningDPMSDE.safetensors",
            "juggernautXL_v9Rdphoto2Lightning.safetensors",
            "dreamshaper_8LCM.safetensors",
            "some-lcm-v1.ckpt",
            "lustifySDXLNSFW_endgameDMD2.safetensors",
        ] {
            assert!(is_fast(name) && doubt_of_name(name).is_some(), "{name}");
        }
        for name in ["dreamshaper_8.safetensors", "lightingStudio_v2.safetensors", "palcmix.ckpt"] {
            assert!(!is_fast(name) && doubt_of_name(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_word_that_means_more_than_real_too_is_no_more_than_a_sign() {
        for name in [
            "realisticVisionV60B1_v51HyperVAE.safetensors",
            "Hyper-SD15",
            "someModel_xlHyper8Step.safetensors",
            "some-xl-hyper.safetensors",
        ] {
            assert!(!is_fast(name) && doubt_of_name(name).is_some(), "{name}");
        }
        for name in ["hyperRealism_v3.safetensors", "Hyper-Realistic", "superhyper", "Hyperion_v1"]
        {
            assert!(doubt_of_name(name).is_none(), "{name}");
        }
    }
}
