//! How the pictures are read, and under which captions they are trained on, checked.

use super::{
    ConfigError, TrainOptions,
    range::{out_of_range, set},
};
use crate::{
    concept::Method,
    data::{
        reading::{CropMode, Reading},
        templates::{names_caption, names_concept},
    },
};

/// How the pictures are read, and what beside them.
pub(super) fn reading(o: &TrainOptions) -> Result<Reading, ConfigError> {
    let pictures = &o.pictures;
    let asked = |option: Option<bool>| option.unwrap_or(false);
    let templates = pictures.caption_template.as_deref().unwrap_or_default();
    let placed = templates.iter().any(|template| names_caption(template));
    let captions = asked(pictures.captions) || placed;
    let custom = o.method.method == Some(Method::CustomDiffusion);
    let crop = set("crop", o.data.crop);
    if custom && crop == CropMode::None {
        let expected = "`center` or `squash` with custom-diffusion, which rescales within a square";
        return Err(out_of_range("crop", "`none`", expected));
    }
    for (option, used) in [("captions", captions), ("masked_loss", asked(pictures.masked_loss))] {
        if custom && used {
            let expected =
                "left out with custom-diffusion, which has captions and masks of its own";
            return Err(out_of_range(option, "set", expected));
        }
    }
    if captions && !placed && !templates.is_empty() {
        let expected = "left out, or given a place by `[caption]` in a `caption_template`";
        return Err(out_of_range("captions", "set", expected));
    }
    let tags = asked(pictures.shuffle_tags) || pictures.tag_dropout.is_some_and(|p| p > 0.0);
    if tags && !captions {
        let option = if asked(pictures.shuffle_tags) { "shuffle_tags" } else { "tag_dropout" };
        return Err(out_of_range(option, "set", "given with `captions`, whose tags it changes"));
    }
    Ok(Reading {
        crop,
        background: pictures.background,
        masks: asked(pictures.masked_loss),
        captions,
        kohya_folders: asked(pictures.kohya_folders),
        ..Reading::default()
    })
}

/// The user's captions, or for texts beside the pictures these alone.
pub(super) fn caption_templates(o: &TrainOptions) -> Result<Vec<String>, ConfigError> {
    let templates = o.pictures.caption_template.clone().unwrap_or_default();
    if let Some(bare) = templates.iter().find(|t| !names_concept(t) && !names_caption(t)) {
        let expected = "a text with `{}` where the concept stands, or with `[caption]`";
        return Err(out_of_range("caption_template", format!("`{bare}`"), expected));
    }
    if templates.is_empty() && o.pictures.captions == Some(true) {
        return Ok(vec!["[caption]".into()]);
    }
    Ok(templates)
}
