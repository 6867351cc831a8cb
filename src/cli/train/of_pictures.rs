//! What a run says of its pictures and of the texts beside them.

use std::collections::BTreeSet;

use crate::{
    cli::counted::counted,
    config::MethodConfig,
    data::{
        captioned, dataset::Dataset, left_out, reading::CropMode, templates::fill_caption,
        uncounted,
    },
    pipelines::{CutPrompt, PromptTokenizers},
    session::{CheckedOptions, PreparedRun},
};

/// How many pictures there are, and as how many they count where some count several times.
pub(super) fn counted_pictures(dataset: &Dataset) -> String {
    let (pictures, round) = (counted(dataset.pictures().len(), "picture"), dataset.round().len());
    if round > dataset.pictures().len() {
        format!("{pictures}, counted as {round},")
    } else {
        pictures
    }
}

/// Says what of the pictures does not show: their sizes where these differ, what is transparent, and what
/// is not read.
pub(super) fn say_of_pictures(run: &PreparedRun) {
    let CheckedOptions { config, .. } = &run.checked;
    if config.reading.crop == CropMode::None {
        let sizes = run.dataset.sizes().into_iter();
        let sizes = sizes.map(|([width, height], count)| format!("{count} of {width} x {height}"));
        println!("sizes      {}", sizes.collect::<Vec<_>>().join(", "));
    }
    let transparent = run.dataset.transparent();
    if transparent > 0 && !config.reading.masks && config.reading.background.is_none() {
        println!(
            "pictures   {transparent} with transparent parts, whose hidden colours show; \
             `--background white` covers these"
        );
    }
    let texts = captioned(run.dataset.names());
    // Custom Diffusion takes none
    let custom = matches!(config.method, MethodConfig::CustomDiffusion { .. });
    if texts > 0 && !config.reading.captions && !custom {
        let pictures = counted(run.dataset.pictures().len(), "picture");
        println!("captions   beside {texts} of {pictures} lies a text, which `--captions` reads");
    }
    // a folder that cannot be read again says nothing new
    let (folder, kohya) = (&config.train_data_dir, config.reading.kohya_folders);
    if let (true, Ok(Some(names))) = (kohya, uncounted(folder)) {
        println!("left out   {names}: only pictures in folders such as `10_mycat` are read");
    }
    if let Ok(Some(names)) = left_out(folder, kohya) {
        println!("left out   {names}: convert these to png or jpg to train on them");
    }
}

/// Says of how many captions the ends are not read: of those that taggers write, it is often so.
pub(super) fn say_of_captions(run: &PreparedRun, tokenizers: &PromptTokenizers) {
    let config = &run.checked.config;
    let (templates, token) = (&config.caption_templates, &config.placeholder_token);
    let texts = run.dataset.captions().iter().map(|text| text.as_deref().unwrap_or_default());
    let captions: BTreeSet<String> = texts
        .flat_map(|text| templates.iter().map(move |template| fill_caption(template, text, token)))
        .collect();
    let cut: Vec<CutPrompt> = captions.iter().filter_map(|text| tokenizers.cut(text)).collect();
    if let Some(CutPrompt { room, .. }) = cut.first() {
        eprintln!(
            "warning: the end of {} of {} is not trained on: the text encoder reads {room} tokens",
            cut.len(),
            counted(captions.len(), "caption")
        );
    }
}
