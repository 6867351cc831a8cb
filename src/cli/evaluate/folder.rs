//! A folder of pictures that some program drew.

use std::path::{Path, PathBuf};

use super::{
    args::EvaluateArgs,
    pictures::{Group, Pictures, all},
    subject::{Generated, Subject},
};
use crate::{
    cli::{counted::counted, error::CliError, generate::GRID, model},
    data::{DataError, picture_files},
};

pub(super) fn subject(args: &EvaluateArgs) -> Result<Subject, CliError> {
    if args.n_images_per_prompt.is_some() {
        return Err(CliError::Input(
            "`--n-images-per-prompt` is for a run, which draws; a folder of pictures is scored as it is".into(),
        ));
    }
    if !args.embedding.is_empty() || args.negative_prompt.is_some() {
        return Err(CliError::Input(
            "`--embedding` and `--negative-prompt` are for a run, which draws; a folder of pictures is scored as it is".into(),
        ));
    }
    let generated = groups(&args.path, &args.prompt)?;
    let Some(references) = &args.references else {
        return Err(CliError::Input(format!(
            "`--references` is required, as `{}` is no run folder; give the folder with the concept's own pictures",
            args.path.display()
        )));
    };
    Ok(Subject {
        generated: Generated::Saved(generated),
        references: all(references)?,
        clip: None,
        // a build without the default model has no CLIP to fall back on, and the table says so
        model: if cfg!(feature = "embedded") { Some(model::open(None, false)?) } else { None },
    })
}

fn groups(folder: &Path, prompts: &[String]) -> Result<Vec<Group>, CliError> {
    let (parts, what) = match drawn_files(folder) {
        Ok(files) => {
            let parts = prompts.len().max(1);
            if !files.len().is_multiple_of(parts) {
                return Err(CliError::Input(format!(
                    "`{}` has {}, which {parts} prompts cannot share alike; give one `--prompt`, or a sub-folder for each",
                    folder.display(),
                    counted(files.len(), "picture")
                )));
            }
            (files.chunks(files.len() / parts).map(<[_]>::to_vec).collect(), "parts")
        }
        Err(DataError::NoPictures { .. }) => (sub_folders(folder)?, "sub-folders with pictures"),
        Err(error) => return Err(error.into()),
    };
    let parts: Vec<Vec<PathBuf>> = parts;
    if !prompts.is_empty() && prompts.len() != parts.len() {
        return Err(CliError::Input(format!(
            "`{}` has {} {what}, and `--prompt` is given {} times; give one for each, in order of their names, or none",
            folder.display(),
            parts.len(),
            prompts.len()
        )));
    }
    let prompts = prompts.iter().cloned().map(Some).chain(std::iter::repeat(None));
    let group = |(files, prompt)| Group { prompt, pictures: Pictures::Files(files) };
    Ok(parts.into_iter().zip(prompts).map(group).collect())
}

/// A folder's pictures but for the sheet of all of them.
fn drawn_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = picture_files(folder)?;
    if files.len() > 1 {
        files.retain(|file| !file.ends_with(GRID));
    }
    Ok(files)
}

/// The pictures of each sub-folder that has some.
fn sub_folders(folder: &Path) -> Result<Vec<Vec<PathBuf>>, CliError> {
    let read = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>());
    let mut entries = read.map_err(|error| CliError::read(folder, error))?;
    entries.retain(|entry| entry.is_dir());
    entries.sort();
    let mut parts = Vec::new();
    for entry in entries {
        match drawn_files(&entry) {
            Ok(files) => parts.push(files),
            Err(DataError::NoPictures { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if parts.is_empty() {
        return Err(CliError::Input(format!(
            "no png, jpg, webp, bmp, gif or tiff files in `{}` or the folders directly in it; give a run folder or a folder of generated pictures",
            folder.display()
        )));
    }
    Ok(parts)
}
