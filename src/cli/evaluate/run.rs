//! A run's pictures: those it saved, or new ones by what it learned.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use super::{
    CliError, EvaluateArgs, Generated, Subject, model,
    pictures::{self, Group, Pictures},
};
use crate::{
    cli::{generate::read_embedding, run_folder::RunFolder, samples},
    config::{TrainConfig, TrainOptions},
    data::{dataset::Dataset, templates::fill},
    embedding::LearnedEmbedding,
    eval::without_placeholder,
    pipelines::{BATCH, ModelFolder, TextToImage},
};

/// Pictures of each prompt; of the usual single prompt, these are the grid's.
const COUNT: u64 = 8;

/// What is needed to draw a run's pictures anew.
pub(super) struct Drawing {
    config: TrainConfig,
    model: ModelFolder,
    embedding: LearnedEmbedding,
    count: usize,
}

pub(super) fn subject(args: &EvaluateArgs, run: &RunFolder) -> Result<Subject, CliError> {
    if !args.prompt.is_empty() {
        return Err(CliError::input(
            "`--prompt` is for a folder of pictures; a run knows its own prompts",
        ));
    }
    let (config, model) = read_config(run)?;
    let size = config.resolution.unwrap_or(model.native_resolution());
    model.check_size(size, size).map_err(CliError::input)?;
    let references = match &args.references {
        Some(folder) => pictures::all(folder)?,
        // as the run saw them, so that its own scores come out again
        None => {
            let dataset = Dataset::from_folder(&config.train_data_dir, size, config.crop);
            dataset.map_err(CliError::input)?.pictures().to_vec()
        }
    };
    let generated = match saved(run, &config)? {
        Some(groups) if args.n_images_per_prompt.is_none() => Generated::Saved(groups),
        _ => {
            let count = args.n_images_per_prompt.unwrap_or(COUNT) as usize;
            let embedding = learned(run, &model)?;
            let model = model.clone();
            Generated::ToDraw(Box::new(Drawing { config, model, embedding, count }))
        }
    };
    Ok(Subject { generated, references, model: Some(model) })
}

fn read_config(run: &RunFolder) -> Result<(TrainConfig, ModelFolder), CliError> {
    let path = run.config();
    let text = std::fs::read_to_string(&path)
        .map_err(|e| CliError::Input(format!("cannot read `{}`: {e}", path.display())))?;
    let options = TrainOptions::from_toml(&text, &path.display().to_string());
    let options = options.map_err(CliError::input)?;
    let model = model::open(options.model.as_deref())?;
    let options = options.over(&model::preset(&model)?).and_then(|options| options.with_defaults());
    let config = options.and_then(|options| TrainConfig::new(&options));
    Ok((config.map_err(CliError::input)?, model))
}

/// The pictures in the run's `samples/`, by the prompts that `prompts.json` gives their names.
fn saved(run: &RunFolder, config: &TrainConfig) -> Result<Option<Vec<Group>>, CliError> {
    let folder = run.path().join("samples");
    let file = folder.join("prompts.json");
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(None) };
    let prompts: BTreeMap<String, String> = serde_json::from_str(&text).map_err(|e| {
        CliError::Input(format!("`{}` is not usable: {e}; remove the folder", file.display()))
    })?;
    let mut groups: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (name, prompt) in prompts {
        let prompt = without_placeholder(&prompt, &config.placeholder_token);
        groups.entry(prompt).or_default().push(folder.join(name));
    }
    let group = |(prompt, files)| Group { prompt: Some(prompt), pictures: Pictures::Files(files) };
    Ok(Some(groups.into_iter().map(group).collect()))
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
    if embedding.dim() != model.embedding_dim() {
        return Err(CliError::Input(format!(
            "`{}` is {} wide, {} takes {}; the run's model has been replaced by another",
            file.display(),
            embedding.dim(),
            model.name(),
            model.embedding_dim()
        )));
    }
    Ok(embedding)
}

impl Drawing {
    pub(super) fn draw(&self, device: &Device) -> Result<Vec<Group>, CliError> {
        let Self { config, model, embedding, count } = self;
        let token = embedding.placeholder_token();
        let mut tokenizer = model.tokenizer().map_err(CliError::input)?;
        let ids = tokenizer.add_placeholder(token, embedding.num_vectors());
        let encoder = model.load_prompt_encoder(tokenizer, ids.map_err(CliError::input)?, device);
        let encoder = encoder.map_err(CliError::input)?;
        let unet = model.load_unet(device).map_err(CliError::input)?;
        let vae = model.load_vae(device).map_err(CliError::input)?;
        let pipeline =
            TextToImage { encoder: &encoder, unet: &unet, vae: &vae, scheduler: model.scheduler() };
        let shape = [embedding.num_vectors(), embedding.dim()];
        let vectors = TensorData::new(embedding.vectors().to_vec(), shape);
        let vectors = Tensor::<2>::from_data(vectors, device);
        let options = samples::sampling_options(config, model);

        let templates = samples::templates(config);
        eprintln!("drawing {count} pictures of each of {} prompt(s)", templates.len());
        let mut groups = Vec::with_capacity(templates.len());
        for (index, template) in templates.iter().enumerate() {
            let prompts = vec![fill(template, token); *count];
            let mut drawn = Vec::with_capacity(*count);
            for prompts in prompts.chunks(BATCH) {
                let first = index * count + drawn.len();
                let pictures = pipeline.generate(first, prompts, "", &vectors, &options);
                drawn.extend(pollster::block_on(pictures).map_err(CliError::failed)?);
            }
            let prompt = Some(fill(template, ""));
            groups.push(Group { prompt, pictures: Pictures::Drawn(drawn) });
        }
        Ok(groups)
    }
}
