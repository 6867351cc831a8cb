//! The model that `--model` names.

use std::path::{Path, PathBuf};
#[cfg(feature = "hub")]
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use burn::tensor::Device;
#[cfg(feature = "hub")]
use dvar_models::ModelError;
use dvar_models::{
    single_file::{SingleFile, doubt_of_name},
    weights::Folder,
};

use super::{CliError, run_folder::is_run};
#[cfg(feature = "hub")]
use crate::pipelines::PipelineError;
use crate::{
    config::TrainOptions, eval::ClipScorer, pipelines::ModelFolder, session::CheckedOptions,
};

/// The value of `--model` that means the model inside the binary.
pub(super) const EMBEDDED: &str = "embedded";

/// The official code's names of models, and their names on the Hub.
const SHORT_NAMES: [(&str, &str); 2] = [
    ("sd", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
    ("ldm", "CompVis/ldm-text2im-large-256"),
];

/// Whether a run's option names the model inside the binary.
pub(super) fn is_embedded(model: Option<&Path>) -> bool {
    model.is_none_or(|model| model == Path::new(EMBEDDED))
}

/// Opens the model folder, the single file, or the embedded default; `ema` takes the averaged weights
/// of a single file.
pub(super) fn open(model: Option<&Path>, ema: bool) -> Result<ModelFolder, CliError> {
    match model {
        Some(file) if file.is_file() => single_file(file, ema),
        Some(folder) if folder != Path::new(EMBEDDED) => {
            if ema {
                return Err(no_ema(&folder.display().to_string()));
            }
            if !folder.is_dir() {
                let folder = full_name(folder);
                #[cfg(feature = "hub")]
                if let Some(repository) = repository(folder) {
                    let files = model_of_hub(repository)?;
                    return Ok(ModelFolder::new(files, repository.to_string())?);
                }
                return Err(CliError::Input(format!(
                    "there is no model `{}`; give a Stable Diffusion 1.x, 2.x, XL or LDM text-to-image folder in diffusers' layout, a single file of Stable Diffusion 1.x, 2.x or XL, a name on the Hub such as `owner/model` (in a build with the feature `hub`), or `embedded`",
                    folder.display()
                )));
            }
            if let Some(file) = checkpoint_in(folder) {
                return Err(CliError::Input(format!(
                    "the folder `{}` holds no model in diffusers' layout; of checkpoints in one file give the file, such as `{}`",
                    folder.display(),
                    file.display()
                )));
            }
            Ok(ModelFolder::open(folder)?)
        }
        _ if ema => Err(no_ema("the embedded model")),
        _ => embedded(),
    }
}

/// Whether a folder has what tells a model's from any other, which may lack the rest, or checkpoints, of
/// which [`open`] says to give one.
pub(super) fn may_be_in(folder: &Path) -> bool {
    ["model_index.json", "unet"].iter().any(|part| folder.join(part).exists())
        || checkpoint_in(folder).is_some()
}

/// What may be a checkpoint in a folder that is not in diffusers' layout; what a run learned is none.
fn checkpoint_in(folder: &Path) -> Option<PathBuf> {
    let in_layout = ["model_index.json", "unet/config.json"];
    if is_run(folder) || in_layout.iter().any(|file| folder.join(file).is_file()) {
        return None;
    }
    let files = folder.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    // a name that begins with a dot is what macOS leaves beside a file on other disks
    let is_checkpoint = |file: &PathBuf| {
        let is_hidden =
            file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !is_hidden && file.extension().is_some_and(|e| e == "safetensors" || e == "ckpt")
    };
    files.filter(is_checkpoint).min()
}

/// Opens a checkpoint of a whole model; its name tells what it was found to be.
fn single_file(file: &Path, ema: bool) -> Result<ModelFolder, CliError> {
    let folder = Folder(file.parent().map(Path::to_path_buf).unwrap_or_default());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut model = SingleFile::open(&folder, &name)?;
    if let Some(doubt) = model.doubt() {
        eprintln!("note: `{}`: {doubt}", file.display());
    }
    if ema {
        model = model.with_ema()?;
    }
    let name = format!("{} ({})", file.display(), model.kind().name());
    Ok(ModelFolder::new(model, name)?)
}

fn no_ema(model: &str) -> CliError {
    CliError::Input(format!(
        "{model} is no single file with averaged weights beside the others; leave `--ema` out"
    ))
}

/// What a short name stands for; anything else is itself.
fn full_name(model: &Path) -> &Path {
    let stands_for = SHORT_NAMES.iter().find(|(short, _)| Path::new(short) == model);
    stands_for.map_or(model, |(_, name)| Path::new(name))
}

/// A run's options over the model's advice and the defaults, its model, and both checked.
pub(super) fn of_run(options: &TrainOptions) -> Result<CheckedOptions, CliError> {
    let model = open(options.data.model.as_deref(), options.data.ema.unwrap_or(false))?;
    Ok(CheckedOptions::new(options, model)?)
}

/// Says which sampler draws in place of a model's own, where dvar does not have that.
pub(super) fn say_sampler(model: &ModelFolder) {
    let sampler = model.scheduler();
    if let Some(missing) = sampler.missing_sampler() {
        eprintln!(
            "note: dvar does not have the model's own sampler, {missing}; `{}` draws in its place, and \
             `--scheduler` takes another",
            sampler.kind()
        );
    }
}

/// Says of a model to train on whose folder or name on the Hub tells of another loss; of a file, [`open`] says it.
pub(super) fn say_name(model: Option<&Path>) {
    let Some(model) = model.filter(|model| !model.is_file()) else { return };
    let name = model.file_name().unwrap_or_default().to_string_lossy();
    if let Some(doubt) = doubt_of_name(&name) {
        eprintln!("note: `{}`: {doubt}", model.display());
    }
}

/// Where the files of a model lie that [`open`] has opened; none for the embedded model.
pub(super) fn place(model: &Path) -> Option<PathBuf> {
    if model == Path::new(EMBEDDED) {
        return None;
    }
    if model.exists() {
        return Some(model.to_path_buf());
    }
    #[cfg(feature = "hub")]
    return Folder::in_hub_cache(repository(full_name(model))?).map(|folder| folder.0);
    #[cfg(not(feature = "hub"))]
    return None;
}

/// The CLIP model that a flag names, or the one that the model brings, where it does.
pub(super) fn clip_scorer(
    clip: Option<&Path>,
    model: Option<&ModelFolder>,
    device: &Device,
) -> Result<Option<ClipScorer>, CliError> {
    match (clip, model) {
        (Some(folder), _) => {
            let files = scorer_files(folder, "--clip")?;
            Ok(Some(ClipScorer::open(&files, ".", device)?))
        }
        (None, Some(model)) => Ok(ClipScorer::load(model, device)?),
        (None, None) => Ok(None),
    }
}

/// The files of a scorer's folder, or of its name on the Hub.
pub(super) fn scorer_files(folder: &Path, flag: &str) -> Result<Folder, CliError> {
    if folder.is_dir() {
        return Ok(Folder(folder.to_path_buf()));
    }
    #[cfg(feature = "hub")]
    if let Some(repository) = repository(folder) {
        return of_hub(repository, |name| Ok(Folder::scorer_from_hub(name)?));
    }
    Err(CliError::Input(format!(
        "there is no folder `{}` for `{flag}`; give a model folder in transformers' layout, or a name on the Hub such as `owner/model` (in a build with the feature `hub`)",
        folder.display()
    )))
}

/// What the Hub gives of a model, which is asked once: a grid opens the same one for every run.
#[cfg(feature = "hub")]
fn model_of_hub(repository: &str) -> Result<Folder, CliError> {
    static GIVEN: Mutex<BTreeMap<String, Folder>> = Mutex::new(BTreeMap::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = given.get(repository) {
        return Ok(folder.clone());
    }
    let folder = of_hub(repository, |name| {
        // a model that dvar does not draw with is refused before gigabytes of it come
        Folder::from_hub(name, |small| ModelFolder::new(small, name.to_string()).map(drop))
    })?;
    given.insert(repository.to_string(), folder.clone());
    Ok(folder)
}

/// What the Hub gives of a repository or, where it cannot be asked, its copy in the cache.
#[cfg(feature = "hub")]
fn of_hub(
    repository: &str,
    download: impl FnOnce(&str) -> Result<Folder, PipelineError>,
) -> Result<Folder, CliError> {
    let error = match download(repository) {
        Ok(files) => return Ok(files),
        Err(PipelineError::Model(error)) => error,
        Err(error) => return Err(error.into()),
    };
    // of a download that has begun the cache lacks a part
    if let ModelError::Download { file, reason, .. } = &error
        && file == repository
        && let Some(cached) = Folder::in_hub_cache(repository)
    {
        eprintln!(
            "note: nothing can be downloaded from the Hugging Face Hub ({reason}); `{repository}` is its copy in the cache"
        );
        return Ok(cached);
    }
    if matches!(error, ModelError::Download { .. } | ModelError::Unreadable { .. }) {
        eprintln!(
            "note: there is no folder `{repository}` here, so it is taken for a name on the Hugging Face Hub"
        );
    }
    Err(error.into())
}

/// `owner/name`, if the value looks like a name on the Hugging Face Hub.
#[cfg(feature = "hub")]
fn repository(model: &Path) -> Option<&str> {
    let name = model.to_str()?;
    let word = |word: &str| {
        !word.starts_with('.')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let (owner, repository) = name.split_once('/')?;
    (!owner.is_empty() && !repository.is_empty() && word(owner) && word(repository)).then_some(name)
}

#[cfg(feature = "embedded")]
fn embedded() -> Result<ModelFolder, CliError> {
    let (files, name) = dvar_models::pretrained::dvar_tiny_emoji().ok_or_else(no_default)?;
    Ok(ModelFolder::new(files, format!("{name} (embedded)"))?)
}

#[cfg(not(feature = "embedded"))]
fn embedded() -> Result<ModelFolder, CliError> {
    Err(no_default())
}

/// Such a build came from a registry, or without the feature `embedded`.
pub(super) fn no_default() -> CliError {
    CliError::Input(
        "this build holds no default model; give `--model` a folder or a name on the Hub, or install \
         dvar from its repository"
            .into(),
    )
}
