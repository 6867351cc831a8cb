//! A run's pictures: those it saved, or new ones by what it learned.

use std::collections::BTreeMap;

use burn::tensor::Device;

use super::{
    CliError, EvaluateArgs, Generated, Subject, model,
    pictures::{self, Group, Pictures},
};
use crate::{
    cli::{
        learned::read_embedding,
        run_folder::RunFolder,
        sample_files::{Named, PROMPTS},
    },
    config::TrainConfig,
    data::{dataset::Dataset, templates::fill},
    embedding::LearnedEmbedding,
    eval::without_placeholder,
    pipelines::ModelFolder,
    session::{CheckedOptions, Generator, sampling_options},
};

/// What is needed to draw a run's pictures anew.
pub(super) struct Drawing {
    config: TrainConfig,
    model: ModelFolder,
    run: RunFolder,
    embedding: LearnedEmbedding,
    /// With `{}` where the concept stands, each as often as it is drawn.
    prompts: Vec<String>,
}

pub(super) fn subject(args: &EvaluateArgs, run: &RunFolder) -> Result<Subject, CliError> {
    if !args.prompt.is_empty() {
        return Err(CliError::Input(
            "`--prompt` is for a folder of pictures; a run knows its own prompts".into(),
        ));
    }
    let (config, model) = read_config(run)?;
    let size = config.resolution.unwrap_or(model.native_resolution());
    model.check_size(size, size)?;
    let references = match &args.references {
        Some(folder) => pictures::all(folder)?,
        // as the run saw them, so that its own scores come out again
        None => {
            let dataset = Dataset::from_folder(&config.train_data_dir, size, config.crop);
            dataset?.pictures().to_vec()
        }
    };
    let generated = match saved(run, &config)? {
        Some(groups) if args.n_images_per_prompt.is_none() => Generated::Saved(groups),
        _ => {
            let (run, embedding) = (run.clone(), learned(run, &model)?);
            let (config, model) = (config.clone(), model.clone());
            let prompts = prompts(&config, args.n_images_per_prompt);
            Generated::ToDraw(Box::new(Drawing { config, model, run, embedding, prompts }))
        }
    };
    Ok(Subject { generated, references, clip: config.clip, model: Some(model) })
}

fn read_config(run: &RunFolder) -> Result<(TrainConfig, ModelFolder), CliError> {
    let CheckedOptions { model, config, .. } = model::of_run(&run.options()?)?;
    Ok((config, model))
}

/// The run's prompts as it draws them itself, or each of them `count` times.
fn prompts(config: &TrainConfig, count: Option<u64>) -> Vec<String> {
    let Some(count) = count else { return config.validation_prompts.clone() };
    let mut prompts: Vec<String> = Vec::new();
    for prompt in &config.validation_prompts {
        if !prompts.contains(prompt) {
            prompts.push(prompt.clone());
        }
    }
    prompts.into_iter().flat_map(|prompt| vec![prompt; count as usize]).collect()
}

/// The single pictures that the run saved, by their prompts.
fn saved(run: &RunFolder, config: &TrainConfig) -> Result<Option<Vec<Group>>, CliError> {
    let folder = run.sample_folder();
    let file = folder.join(PROMPTS);
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(None) };
    let named: Vec<Named> = serde_json::from_str(&text).map_err(|e| {
        CliError::Input(format!("`{}` is not usable: {e}; remove its folder", file.display()))
    })?;
    let pictures = named.into_iter().map(|Named { file, prompt }| {
        (without_placeholder(&prompt, &config.placeholder_token), folder.join(file))
    });
    let group = |(prompt, files)| Group { prompt: Some(prompt), pictures: Pictures::Files(files) };
    Ok(Some(by_prompt(pictures).into_iter().map(group).collect()))
}

fn by_prompt<T>(pictures: impl Iterator<Item = (String, T)>) -> BTreeMap<String, Vec<T>> {
    let mut groups: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (prompt, picture) in pictures {
        groups.entry(prompt).or_default().push(picture);
    }
    groups
}

/// What the run has learned, where it fits the run's model.
fn learned(run: &RunFolder, model: &ModelFolder) -> Result<LearnedEmbedding, CliError> {
    let file = run.embedding();
    if !file.is_file() {
        return Err(CliError::Input(format!(
            "`{}` is not there yet; go on with the run: dvar train --resume {}",
            file.display(),
            run.path().display()
        )));
    }
    let embedding = read_embedding(&file)?;
    if embedding.widths() != model.embedding_widths() {
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

impl Drawing {
    pub(super) fn draw(&self, device: &Device) -> Result<Vec<Group>, CliError> {
        let Self { config, model, run, embedding, prompts } = self;
        let token = embedding.placeholder_token();
        let adapter = run.read_adapter()?;
        let generator = Generator::load(model, Some(embedding), adapter.as_ref(), device);
        let generator = generator?;
        let options = sampling_options(config, model);

        eprintln!("drawing {} pictures", prompts.len());
        let filled: Vec<String> = prompts.iter().map(|prompt| fill(prompt, token)).collect();
        let drawn = generator.draw(0, &filled, "", &options, None);
        let drawn = pollster::block_on(drawn)?;
        let drawn = prompts.iter().map(|prompt| fill(prompt, "")).zip(drawn);
        let group = |(prompt, pictures)| Group {
            prompt: Some(prompt),
            pictures: Pictures::Drawn(pictures),
        };
        Ok(by_prompt(drawn).into_iter().map(group).collect())
    }
}
