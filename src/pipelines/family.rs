//! The two kinds of model folder, and in what they differ.

use std::fmt;

use dvar_models::weights::ModelFiles;

/// Which pipeline of diffusers a model folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelFamily {
    /// `StableDiffusionPipeline`: CLIP's text encoder and tokenizer.
    StableDiffusion,
    /// `LDMTextToImagePipeline`, CompVis' text-to-image model before Stable Diffusion: its own
    /// text encoder, BERT's tokenizer.
    LatentDiffusion,
}

impl ModelFamily {
    const ALL: [Self; 2] = [Self::StableDiffusion, Self::LatentDiffusion];

    /// Whether a guidance scale mixes the prompt with the negative prompt, as the family's
    /// pipeline in diffusers decides: Stable Diffusion only above 1, LDM at every scale but 1, so
    /// that there a scale of 0 draws from the negative prompt alone.
    pub fn is_guided(self, guidance_scale: f64) -> bool {
        match self {
            Self::StableDiffusion => guidance_scale > 1.0,
            Self::LatentDiffusion => guidance_scale != 1.0,
        }
    }

    /// The family of a pipeline that `model_index.json` names.
    pub(super) fn from_class_name(class_name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.class_name() == class_name)
    }

    /// The family of a folder without `model_index.json`, by its sub-folders.
    pub(super) fn from_files(files: &ModelFiles) -> Self {
        if ["bert/config.json", "vqvae/config.json"].iter().any(|file| files.has(file)) {
            Self::LatentDiffusion
        } else {
            Self::StableDiffusion
        }
    }

    /// The classes that [`from_class_name`](Self::from_class_name) knows, for messages.
    pub(super) fn class_names() -> String {
        Self::ALL.map(|family| format!("{} ({family})", family.class_name())).join(" and ")
    }

    /// The text encoder's folder.
    pub(super) fn text_encoder(self, files: &ModelFiles) -> &'static str {
        self.part(files, "bert", "text_encoder")
    }

    /// The autoencoder's folder.
    pub(super) fn vae(self, files: &ModelFiles) -> &'static str {
        self.part(files, "vqvae", "vae")
    }

    /// LDM's folders have names of their own; some were saved again under Stable Diffusion's.
    fn part(self, files: &ModelFiles, own: &'static str, usual: &'static str) -> &'static str {
        let has = |folder: &str| files.has(&format!("{folder}/config.json"));
        match self {
            Self::LatentDiffusion if has(own) || !has(usual) => own,
            _ => usual,
        }
    }

    fn class_name(self) -> &'static str {
        match self {
            Self::StableDiffusion => "StableDiffusionPipeline",
            Self::LatentDiffusion => "LDMTextToImagePipeline",
        }
    }
}

impl fmt::Display for ModelFamily {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::StableDiffusion => "Stable Diffusion 1.x",
            Self::LatentDiffusion => "LDM text-to-image",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn folder(files: &[&str]) -> ModelFiles {
        let empty = |file: &&str| (format!("{file}/config.json"), Cow::Borrowed(&b"{}"[..]));
        ModelFiles::Memory(files.iter().map(empty).collect())
    }

    #[test]
    fn a_folder_without_index_is_told_by_its_sub_folders() {
        for (folders, family) in [
            (&["text_encoder", "unet", "vae"][..], ModelFamily::StableDiffusion),
            (&[], ModelFamily::StableDiffusion),
            (&["bert", "unet", "vqvae"], ModelFamily::LatentDiffusion),
            (&["bert", "unet", "vae"], ModelFamily::LatentDiffusion),
            (&["text_encoder", "unet", "vqvae"], ModelFamily::LatentDiffusion),
        ] {
            assert_eq!(ModelFamily::from_files(&folder(folders)), family, "{folders:?}");
        }
    }

    #[test]
    fn the_parts_of_ldm_are_found_under_both_names() {
        let ldm = ModelFamily::LatentDiffusion;
        for (folders, text_encoder, vae) in [
            (&["bert", "vqvae"][..], "bert", "vqvae"),
            (&["text_encoder", "vae"], "text_encoder", "vae"),
            (&["bert", "vae"], "bert", "vae"),
            (&[], "bert", "vqvae"),
        ] {
            let files = folder(folders);
            assert_eq!((ldm.text_encoder(&files), ldm.vae(&files)), (text_encoder, vae));
        }
        let both = folder(&["bert", "text_encoder", "vae", "vqvae"]);
        assert_eq!(ModelFamily::StableDiffusion.text_encoder(&both), "text_encoder");
        assert_eq!(ModelFamily::StableDiffusion.vae(&both), "vae");
    }

    #[test]
    fn guidance_of_1_is_none_and_0_is_the_negative_prompt_of_ldm_alone() {
        let guided = |scale| ModelFamily::ALL.map(|family| family.is_guided(scale));
        assert_eq!(guided(7.5), [true, true]);
        assert_eq!(guided(1.0), [false, false]);
        assert_eq!(guided(0.5), [false, true]);
        assert_eq!(guided(0.0), [false, true]);
    }
}
