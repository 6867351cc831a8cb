//! The families that dvar knows.

use dvar_models::{ModelError, parse_json, unet::UNet2DConditionConfig, weights::ModelSource};
use serde::Deserialize;

use super::{LATENT_DIFFUSION, ModelFamily, STABLE_DIFFUSION, STABLE_DIFFUSION_XL};

/// The families, those that more files tell of last: these are asked first whether they recognise
/// a folder.
static FAMILIES: [&ModelFamily; 3] = [&STABLE_DIFFUSION, &STABLE_DIFFUSION_XL, &LATENT_DIFFUSION];

/// Pipelines that begin with a picture have these in their names, and load the families' own models.
const FROM_PICTURES: [&str; 2] = ["Img2Img", "Inpaint"];

/// What else people have, by its pipeline.
const OTHERS: [(&str, &str); 6] = [
    ("Inpaint", "an inpainting model"),
    ("InstructPix2Pix", "an editing model"),
    ("ControlNet", "a ControlNet, which guides a model"),
    ("LatentConsistencyModelPipeline", "a latent consistency model (LCM)"),
    ("StableDiffusion3", "Stable Diffusion 3"),
    ("Flux", "a Flux model"),
];

#[derive(Deserialize)]
struct ModelIndex {
    #[serde(rename = "_class_name")]
    class_name: String,
}

impl ModelFamily {
    /// The family that a model's `model_index.json` names, or the one that its files tell.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if `model_index.json` is broken or names none of the families.
    pub(in crate::pipelines) fn of(source: &dyn ModelSource) -> Result<&'static Self, ModelError> {
        let Some(index) = source.read_optional("model_index.json")? else {
            let found = FAMILIES.iter().rev().find(|family| (family.recognises)(source));
            // where there is nothing, Stable Diffusion's files are those that messages ask for
            return Ok(found.copied().unwrap_or(&STABLE_DIFFUSION));
        };
        let file = source.display("model_index.json");
        let index: ModelIndex = parse_json(&index, &file)?;
        let name = index.class_name.clone();
        let plain = FROM_PICTURES.iter().fold(name, |name, kind| name.replace(kind, ""));
        let named = FAMILIES.iter().find(|family| family.class_name == plain);
        named.copied().ok_or_else(|| ModelError::Unsupported {
            file,
            key: "_class_name".into(),
            value: match OTHERS.iter().find(|(part, _)| index.class_name.contains(part)) {
                Some((_, what)) => format!("`{}` ({what})", index.class_name),
                None => format!("`{}`", index.class_name),
            },
            supported: FAMILIES
                .map(|family| format!("{} ({family})", family.class_name))
                .join(", "),
        })
    }

    /// Checks that a denoiser of this family draws from texts alone, by its configuration: the pipeline
    /// that it was saved with does not tell.
    ///
    /// # Errors
    ///
    /// [`ModelError::Unsupported`] if it does not.
    pub(in crate::pipelines) fn check_denoiser(
        &self,
        unet: &UNet2DConditionConfig,
        source: &dyn ModelSource,
    ) -> Result<(), ModelError> {
        let latents = unet.out_channels;
        let (file, key, value) = match unet.in_channels {
            // beside the noisy latents a mask and what it leaves of a picture
            inputs if inputs == 2 * latents + 1 => {
                ("unet/config.json", "in_channels", format!("{inputs} (an inpainting model)"))
            }
            // beside them a picture
            inputs if inputs == 2 * latents => {
                ("unet/config.json", "in_channels", format!("{inputs} (an editing model)"))
            }
            // as wide as SDXL's second text encoder, and without the first
            _ if unet.cross_attention_dim == 1280
                && *self == STABLE_DIFFUSION_XL
                && !source.has("text_encoder/config.json") =>
            {
                ("model_index.json", "text_encoder", "none (SDXL's refiner)".into())
            }
            _ => return Ok(()),
        };
        Err(ModelError::Unsupported {
            file: source.display(file),
            key: key.into(),
            value,
            supported: "text-to-image models alone".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use dvar_models::weights::Memory;

    use super::*;

    fn folder(files: &[&str]) -> Memory {
        let empty = |file: &&str| (format!("{file}/config.json"), Cow::Borrowed(&b"{}"[..]));
        Memory(files.iter().map(empty).collect())
    }

    #[test]
    fn a_folder_without_index_is_told_by_its_sub_folders() {
        for (folders, family) in [
            (&["text_encoder", "unet", "vae"][..], &STABLE_DIFFUSION),
            (&[], &STABLE_DIFFUSION),
            (&["bert", "unet", "vqvae"], &LATENT_DIFFUSION),
            (&["bert", "unet", "vae"], &LATENT_DIFFUSION),
            (&["text_encoder", "unet", "vqvae"], &LATENT_DIFFUSION),
            (&["text_encoder", "text_encoder_2", "unet", "vae"], &STABLE_DIFFUSION_XL),
        ] {
            assert_eq!(ModelFamily::of(&folder(folders)).unwrap(), family, "{folders:?}");
        }
    }

    #[test]
    fn the_parts_of_ldm_are_found_under_both_names() {
        let parts = |family: &ModelFamily, source: &Memory| {
            ((family.text_encoders)(source)[0].folder, (family.vae)(source))
        };
        for (folders, text_encoder, vae) in [
            (&["bert", "vqvae"][..], "bert", "vqvae"),
            (&["text_encoder", "vae"], "text_encoder", "vae"),
            (&["bert", "vae"], "bert", "vae"),
            (&[], "bert", "vqvae"),
        ] {
            assert_eq!(parts(&LATENT_DIFFUSION, &folder(folders)), (text_encoder, vae));
        }
        let both = folder(&["bert", "text_encoder", "vae", "vqvae"]);
        assert_eq!(parts(&STABLE_DIFFUSION, &both), ("text_encoder", "vae"));
    }

    #[test]
    fn what_else_people_have_is_refused_by_its_name() {
        for (class_name, what) in [
            ("KandinskyInpaintPipeline", "an inpainting model"),
            ("StableDiffusionXLControlNetPipeline", "a ControlNet"),
            ("FluxPipeline", "a Flux model"),
        ] {
            let index = format!(r#"{{"_class_name": "{class_name}"}}"#).into_bytes();
            let folder = Memory([("model_index.json".into(), Cow::Owned(index))].into());
            let error = ModelFamily::of(&folder).unwrap_err().to_string();
            assert!(error.contains(&format!("`{class_name}` ({what}")), "{error}");
        }
    }

    #[test]
    fn a_model_that_was_saved_with_a_pipeline_from_pictures_is_of_its_family() {
        for (class_name, family) in [
            ("StableDiffusionXLImg2ImgPipeline", &STABLE_DIFFUSION_XL),
            ("StableDiffusionXLInpaintPipeline", &STABLE_DIFFUSION_XL),
            ("StableDiffusionImg2ImgPipeline", &STABLE_DIFFUSION),
            ("StableDiffusionInpaintPipeline", &STABLE_DIFFUSION),
        ] {
            let index = format!(r#"{{"_class_name": "{class_name}"}}"#).into_bytes();
            let folder = Memory([("model_index.json".into(), Cow::Owned(index))].into());
            assert_eq!(ModelFamily::of(&folder).unwrap(), family, "{class_name}");
        }
    }

    #[test]
    fn guidance_of_1_is_none_and_0_is_the_negative_prompt_of_ldm_alone() {
        let guided = |scale| FAMILIES.map(|family| (family.is_guided)(scale));
        assert_eq!(guided(7.5), [true, true, true]);
        assert_eq!(guided(1.0), [false, false, false]);
        assert_eq!(guided(0.5), [false, false, true]);
        assert_eq!(guided(0.0), [false, false, true]);
    }
}
