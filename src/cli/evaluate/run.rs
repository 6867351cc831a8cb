//! A run's pictures: those it saved, or new ones by what it learned.

use std::{ffi::OsStr, path::Path};

use super::{
    args::EvaluateArgs,
    drawing::Drawing,
    pictures::{self, Group, Pictures, by_prompt},
    subject::{Generated, Subject},
};
use crate::{
    cli::{
        distinct::distinct,
        error::CliError,
        learned::{read_each, read_embedding},
        model,
        model_mark::warn_of_other_files,
        prompts::{Words, say_cut},
        run_folder::RunFolder,
        sample_files::{Named, PROMPTS},
        train::read_result,
    },
    config::TrainConfig,
    data::{DataError, dataset::Dataset, templates::fill},
    embedding::LearnedEmbedding,
    eval::without_placeholder,
    pipelines::{LongPrompts, ModelFolder},
    session::CheckedOptions,
};

pub(super) fn subject(args: &EvaluateArgs, run: &RunFolder) -> Result<Subject, CliError> {
    if !args.prompt.is_empty() {
        return Err(CliError::Input(
            "`--prompt` is for a folder of pictures; a run knows its own prompts".into(),
        ));
    }
    let checked = model::of_run(&run.options()?).map_err(|error| run.of_options(error))?;
    let size = checked.size();
    let CheckedOptions { model, config, .. } = &checked;
    model.check_size(size, size)?;
    let references = match &args.references {
        Some(folder) => pictures::all(folder)?,
        // as the run saw them, so that its own scores come out again
        None => {
            let dataset = Dataset::from_folder(&config.train_data_dir, size, config.reading);
            let dataset = dataset.map_err(|error| match error {
                DataError::NoSuchFolder { path } => CliError::Input(format!(
                    "the run's pictures are no longer in `{path}`; say where they are with `--references`"
                )),
                error => error.into(),
            });
            let dataset = dataset?;
            dataset.round().iter().map(|picture| dataset.pictures()[*picture].clone()).collect()
        }
    };
    let generated = match saved(run, config)? {
        Some(groups) if !draws(args) => Generated::Saved(groups),
        _ => Generated::ToDraw(Box::new(drawing(args, run, config, model)?)),
    };
    // of saved pictures that another CLIP scores nothing is the model's
    if args.clip.is_none() || matches!(generated, Generated::ToDraw(_)) {
        warn_of_other_files(run, &checked)?;
    }
    let CheckedOptions { model, config, .. } = checked;
    Ok(Subject { generated, references, clip: config.clip, model: Some(model) })
}

/// Whether the pictures that the run saved are not what is asked for.
fn draws(args: &EvaluateArgs) -> bool {
    let other = !args.embedding.is_empty() || args.negative_prompt.is_some();
    other || args.n_images_per_prompt.is_some()
}

/// The run's prompts with its own embedding and those that are given.
fn drawing(
    args: &EvaluateArgs,
    run: &RunFolder,
    config: &TrainConfig,
    model: &ModelFolder,
) -> Result<Drawing, CliError> {
    let own = learned(run, model)?;
    let token = own.placeholder_token().to_owned();
    let (mut embeddings, mut files) = (read_each(&args.embedding)?, args.embedding.clone());
    if !embeddings.iter().any(|embedding| embedding.placeholder_token() == token) {
        embeddings.insert(0, own);
        files.insert(0, run.embedding().display().to_string());
    }
    let words = Words::new(embeddings, &files, model, LongPrompts::Cut)?;
    let understood = |prompt: &String| {
        if args.literal_prompts { Ok(prompt.clone()) } else { words.understood(prompt) }
    };
    let negative_prompt = args.negative_prompt.as_ref().map(understood).transpose()?;
    let prompts = prompts(config, args.n_images_per_prompt);
    let filled: Vec<String> = prompts.iter().map(|prompt| fill(prompt, &token)).collect();
    let all = filled.iter().chain(&negative_prompt).map(String::as_str);
    words.check_used(all.clone())?;
    say_cut(&words.tokenizers, all);
    if negative_prompt.is_some() && !(model.family().is_guided)(config.guidance_scale) {
        let scale = config.guidance_scale;
        eprintln!(
            "warning: `--negative-prompt` does nothing here: the run's `guidance_scale`, {scale}, is without guidance"
        );
    }
    let (config, model, run) = (config.clone(), model.clone(), run.clone());
    Ok(Drawing { config, model, run, token, words, negative_prompt, prompts })
}

/// The run's prompts as it draws them itself, or each of them `count` times.
fn prompts(config: &TrainConfig, count: Option<u64>) -> Vec<String> {
    let Some(count) = count else { return config.validation_prompts.clone() };
    let prompts = distinct(config.validation_prompts.iter()).into_iter();
    prompts.flat_map(|prompt| vec![prompt.clone(); count as usize]).collect()
}

/// The single pictures that the run saved, by their prompts; none of a run that goes on, which has
/// learned more since.
fn saved(run: &RunFolder, config: &TrainConfig) -> Result<Option<Vec<Group>>, CliError> {
    if read_result(run)?.is_none() {
        return Ok(None);
    }
    let folder = run.sample_folder();
    let file = folder.join(PROMPTS);
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(None) };
    let unusable = |reason: String| {
        CliError::Input(format!("`{}` is not usable: {reason}; remove its folder", file.display()))
    };
    let named: Vec<Named> =
        serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    // a run may be a stranger's, and any path may stand there
    let is_inside = |name: &str| Path::new(name).file_name() == Some(OsStr::new(name));
    if let Some(outside) = named.iter().find(|named| !is_inside(&named.file)) {
        return Err(unusable(format!("`{}` is no file of its folder", outside.file)));
    }
    let pictures = named.into_iter().map(|Named { file, prompt }| {
        (without_placeholder(&prompt, &config.placeholder_token), folder.join(file))
    });
    let group = |(prompt, files)| Group { prompt: Some(prompt), pictures: Pictures::Files(files) };
    Ok(Some(by_prompt(pictures).into_iter().map(group).collect()))
}

/// What the run has learned, where it fits the run's model.
fn learned(run: &RunFolder, model: &ModelFolder) -> Result<LearnedEmbedding, CliError> {
    let file = run.embedding();
    if !file.is_file() {
        return Err(CliError::Input(format!(
            "`{}` is not there yet; go on with the run: {}",
            file.display(),
            run.go_on()
        )));
    }
    let embedding = read_embedding(&file)?;
    if !embedding.widths().fit(&model.embedding_widths()) {
        return Err(CliError::Input(format!(
            "`{}` is {} wide, {} takes {}; the run's model has been replaced by another",
            file.display(),
            embedding.widths(),
            model.name(),
            model.embedding_widths()
        )));
    }
    Ok(embedding)
}
