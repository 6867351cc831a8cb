//! LDM folders in the shapes in which they are found.

use std::fs;

use burn::tensor::Device;
use dvar::pipelines::{LATENT_DIFFUSION, ModelFolder, PipelineError};
use tempfile::TempDir;

use crate::{
    golden,
    support::{only, prompt_encoder, tiny, values},
};

/// Copies the parts of golden models into a folder: the name there, the golden folder.
fn assemble(parts: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, golden) in parts {
        let (from, to) = (golden::root().join("models").join(golden), folder.path().join(name));
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    folder
}

#[test]
fn a_folder_without_index_and_with_the_usual_names_is_the_same_model() {
    let renamed = assemble(&[
        ("text_encoder", "tiny-ldm/bert"),
        ("tokenizer", "tiny-ldm/tokenizer"),
        ("scheduler", "tiny-ldm/scheduler"),
        ("unet", "tiny-ldm/unet"),
        ("vqvae", "tiny-ldm/vqvae"),
    ]);
    let (device, whole) = (Device::flex(), tiny("ldm"));
    let renamed = ModelFolder::open(renamed.path()).map(|model| {
        assert_eq!(model.family(), &LATENT_DIFFUSION);
        assert_eq!(model.embedding_widths(), whole.embedding_widths());
        model.load_vae(&device).unwrap();
        prompt_encoder(&model, &device)
    });
    let table = values(only(prompt_encoder(&whole, &device).token_tables()));
    assert_eq!(values(only(renamed.unwrap().token_tables())), table);
}

#[test]
fn parts_of_two_families_in_one_folder_do_not_fit() {
    let mixed = assemble(&[
        ("bert", "tiny-ldm/bert"),
        ("scheduler", "tiny-ldm/scheduler"),
        ("unet", "tiny-sd/unet"),
        ("vqvae", "tiny-ldm/vqvae"),
    ]);
    let (sd, ldm) = (tiny("sd").embedding_widths(), tiny("ldm").embedding_widths());
    let error = ModelFolder::open(mixed.path()).unwrap_err();
    assert!(matches!(error, PipelineError::Mismatch { .. }), "{error}");
    let told = format!("the text encoder is {ldm} wide, the UNet wants {sd}");
    assert!(error.to_string().ends_with(&told), "{error}");
}
