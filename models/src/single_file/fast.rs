//! Models that were made to draw in a few steps, of which often nothing tells but a name.

/// What is said of them.
pub(super) const FAST: &str = "it was made to draw in a few steps (turbo, lightning or LCM), and \
                               cannot be trained by its base model's loss; give the base model";

/// What is said of models whose files have such a name.
pub(super) const CALLED_FAST: &str = "by its name, it was made to draw in a few steps (turbo, lightning or LCM), and cannot be trained \
     by its base model's loss; give the base model, or rename the file if this is wrong";

/// What is said of models that have such a title.
pub(super) const TITLED_FAST: &str = "by the title in its metadata, it was made to draw in a few steps (turbo, lightning or LCM); if that \
     is right, it cannot be trained by its base model's loss: give the base model";

/// Whether a name says that the model was made to draw in a few steps. Civitai writes its words together.
pub(super) fn is_fast(name: &str) -> bool {
    let small = name.to_lowercase();
    let mut words = small.split(|c: char| !c.is_alphanumeric());
    // so short that it may lie within other words
    words.any(|word| word == "lcm")
        || name.contains("LCM")
        || ["turbo", "lightning"].iter().any(|part| small.contains(part))
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
        ] {
            assert!(is_fast(name), "{name}");
        }
        for name in ["dreamshaper_8.safetensors", "lightingStudio_v2.safetensors", "palcmix.ckpt"] {
            assert!(!is_fast(name), "{name}");
        }
    }
}
