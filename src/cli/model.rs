//! Which model.

use std::path::Path;

#[cfg(feature = "hub")]
use dvar_models::weights::ModelFiles;

use super::CliError;
use crate::{config::TrainOptions, pipelines::ModelFolder};

/// The value of `--model` that means the model inside the binary.
pub(super) const EMBEDDED: &str = "embedded";

/// The official code's names of models, and their names on the Hub.
#[cfg(feature = "hub")]
const SHORT_NAMES: [(&str, &str); 2] = [
    ("sd", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
    ("ldm", "CompVis/ldm-text2im-large-256"),
];

/// Opens the model folder, or the embedded default.
pub(super) fn open(model: Option<&Path>) -> Result<ModelFolder, CliError> {
    match model {
        Some(folder) if folder != Path::new(EMBEDDED) => {
            if !folder.is_dir() {
                #[cfg(feature = "hub")]
                if let Some(repository) = repository(folder) {
                    let files = ModelFiles::from_hub(repository).map_err(CliError::input)?;
                    return ModelFolder::new(files, repository.to_string())
                        .map_err(CliError::input);
                }
                return Err(CliError::Input(format!(
                    "there is no model folder `{}`; give a Stable Diffusion 1.x or LDM text-to-image folder in diffusers' layout, or leave `--model` out",
                    folder.display()
                )));
            }
            ModelFolder::open(folder).map_err(CliError::input)
        }
        _ => embedded(),
    }
}

/// `owner/name`, if the value is a short name or looks like a name on the Hugging Face Hub.
#[cfg(feature = "hub")]
fn repository(model: &Path) -> Option<&str> {
    let name = model.to_str()?;
    if let Some((_, name)) = SHORT_NAMES.iter().find(|(short, _)| *short == name) {
        return Some(name);
    }
    let word = |word: &str| {
        !word.starts_with('.')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let (owner, repository) = name.split_once('/')?;
    (!owner.is_empty() && !repository.is_empty() && word(owner) && word(repository)).then_some(name)
}

#[cfg(feature = "embedded")]
fn embedded() -> Result<ModelFolder, CliError> {
    let (files, name) = dvar_models::pretrained::dvar_tiny_emoji();
    ModelFolder::new(files, format!("{name} (embedded)")).map_err(CliError::input)
}

#[cfg(not(feature = "embedded"))]
fn embedded() -> Result<ModelFolder, CliError> {
    Err(CliError::input("this build has no embedded model; give `--model DIR`"))
}

/// What the model's makers advise: its `dvar.toml`, where there is one.
pub(super) fn preset(model: &ModelFolder) -> Result<TrainOptions, CliError> {
    const FILE: &str = "dvar.toml";
    let Some(bytes) = model.files().read_optional(FILE).map_err(CliError::input)? else {
        return Ok(TrainOptions::default());
    };
    let text = String::from_utf8_lossy(&bytes);
    TrainOptions::from_toml(&text, &model.files().display(FILE)).map_err(CliError::input)
}
