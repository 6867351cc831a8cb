//! `dvar info`

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::{
    CliError,
    learned::{is_about_adapter, is_about_numbers, read_adapter, read_embedding},
    model,
    run_folder::{RunFolder, is_run},
    train::read_result,
};
use crate::{
    concept::{LearnedAdapter, LoraLayer, Method, Part},
    config::{Stopping, TrainOptions},
    pipelines::ModelFolder,
    session,
};

/// A file beyond this is more likely a model than anything else.
const LARGE: u64 = 64 << 20;

/// Flags of `dvar info`.
#[derive(Debug, clap::Args)]
pub(super) struct InfoArgs {
    /// Model folder or file, run folder, embedding file or LoRA; `embedded` is the model in this program
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
}

pub(super) fn run(args: &InfoArgs) -> Result<(), CliError> {
    let path = &args.path;
    if path.is_file() {
        file(path)
    } else if is_run(path) {
        training_run(path)
    } else if path.is_dir() && !model::may_be_in(path) {
        Err(CliError::Input(format!(
            "`{}` is the folder of neither a run, which has a `config.toml`, nor a model, which has a `unet`; \
             give one of these, or a file",
            path.display()
        )))
    } else if path.is_dir() || path == Path::new(model::EMBEDDED) {
        model_folder(&model::open(Some(path), false)?)
    } else {
        Err(CliError::Input(format!(
            "there is no `{}`; give a model folder or file, a run folder or an embedding file",
            path.display()
        )))
    }
}

/// What a file is: one that is no model may be an embedding, or hold one.
fn file(path: &Path) -> Result<(), CliError> {
    let no_model = match model::open(Some(path), false) {
        Ok(model) => return model_folder(&model),
        Err(no_model) => no_model,
    };
    match (embedding(path), read_adapter(path)) {
        // a LoRA may hold an embedding
        (Ok(()), Ok(adapter)) => {
            changes(path, &adapter);
            Ok(())
        }
        (Ok(()), Err(error)) => {
            if is_about_numbers(&error) {
                println!("lora       none that dvar draws by: {error}");
            }
            Ok(())
        }
        (Err(_), Err(error)) if is_about_numbers(&error) => Err(error),
        (Err(error), adapter) if is_about_adapter(&error) => {
            changes(path, &adapter?);
            Ok(())
        }
        (Err(_), _) if is_large(path) => Err(no_model),
        (Err(no_embedding), _) => Err(no_embedding),
    }
}

fn is_large(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.len() > LARGE)
}

fn embedding(path: &Path) -> Result<(), CliError> {
    let embedding = read_embedding(path)?;
    println!("embedding  {}", path.display());
    println!("token      {}", embedding.placeholder_token());
    for encoder in embedding.encoders() {
        let family = match (&encoder.key, encoder.dim) {
            (None, 768) => ", as Stable Diffusion 1.x takes",
            (None, 1024) => ", as Stable Diffusion 2.x takes",
            (None, 1280) => ", as LDM text-to-image takes",
            (Some(key), 768) if key == "clip_l" => ", as Stable Diffusion XL takes",
            (Some(key), 1280) if key == "clip_g" => ", as Stable Diffusion XL takes",
            _ => "",
        };
        let key = encoder.key.as_ref().map(|key| format!(" for {key}")).unwrap_or_default();
        println!("vectors    {} of width {}{key}{family}", embedding.num_vectors(), encoder.dim);
        for vector in encoder.each() {
            let norm = vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            println!("norm       {norm:.4}");
        }
    }
    Ok(())
}

fn changes(path: &Path, adapter: &LearnedAdapter) {
    let LearnedAdapter::Lora(lora) = adapter else {
        println!("adapter    {}, of Custom Diffusion", path.display());
        return;
    };
    println!("lora       {}", path.display());
    println!("format     {}", lora.format_in_words());
    let parts = [Part::Denoiser, Part::TextEncoder(0), Part::TextEncoder(1)];
    for (part, name) in parts.into_iter().zip(["denoiser", "text encoder", "text encoder 2"]) {
        let layers = || lora.layers().filter(|(of, _)| *of == part).map(|(_, layer)| layer);
        let ranks = || layers().filter_map(LoraLayer::rank);
        let (all, low_rank) = (layers().count(), ranks().count());
        if low_rank > 0 {
            println!(
                "layers     {low_rank} of the {name}: rank {}, alpha {}",
                span(ranks().map(|rank| rank as f64)),
                span(layers().filter_map(LoraLayer::alpha)),
            );
        }
        if all > low_rank {
            let whole = all - low_rank;
            println!("whole      {whole} weights, norms and biases of the {name}");
        }
    }
}

/// The only number, or the least and the greatest.
fn span(numbers: impl Iterator<Item = f64>) -> String {
    let ends = |(least, most): (f64, f64), next: f64| (least.min(next), most.max(next));
    let (least, most) = numbers.fold((f64::INFINITY, f64::NEG_INFINITY), ends);
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

fn training_run(folder: &Path) -> Result<(), CliError> {
    let run = RunFolder::open(folder)?;
    let options = run.options()?;
    println!("run        {}", folder.display());
    println!("token      {}", options.data.placeholder_token.unwrap_or_default());
    println!("pictures   {}", options.data.train_data_dir.unwrap_or_default().display());
    match run.read_state()? {
        Some(state) => {
            println!("steps      {}", state.step);
            if let Some(stop) = state.stop {
                println!("stop       {stop}");
            }
        }
        None => println!("steps      0, no checkpoint yet"),
    }
    if read_result(&run)?.is_none() {
        println!("unfinished go on with: {}", run.go_on());
    }
    Ok(())
}

fn model_folder(model: &ModelFolder) -> Result<(), CliError> {
    let tokenizers = model.tokenizers()?;
    println!("model      {}", model.name());
    println!("family     {}", model.family());
    println!("pictures   {0} x {0} pixels", model.native_resolution());
    println!("embedding  {} wide", model.embedding_widths());
    for tokenizer in tokenizers.each() {
        println!(
            "tokenizer  {} entries, prompts of {} tokens",
            tokenizer.vocab_size(),
            tokenizer.positions()
        );
    }
    let of_file = model.scheduler().missing_sampler();
    let of_file = of_file.map(|missing| format!(", in place of {missing}")).unwrap_or_default();
    println!("scheduler  {}{of_file}", model.scheduler().kind());
    println!("predicts   {}", model.scheduler().noise_schedule().prediction_type());
    println!("scorer     {}", if model.has_clip() { "clip/" } else { "none" });
    let advice = |chosen: &TrainOptions| {
        let advised = session::advice(model, chosen)?.to_toml()?;
        Ok::<_, CliError>(advised.lines().map(String::from).collect::<Vec<_>>())
    };
    let plain = advice(&TrainOptions::default())?;
    for option in &plain {
        println!("advises    {option}");
    }
    // what is different where another method or criterion is chosen
    let methods = Method::value_variants().iter().map(|method| {
        let mut chosen = TrainOptions::default();
        chosen.method.method = Some(*method);
        ("method", method.to_possible_value(), chosen)
    });
    let criteria = Stopping::value_variants().iter().map(|stopping| {
        let mut chosen = TrainOptions::default();
        chosen.stopping.stopping = Some(*stopping);
        ("stopping", stopping.to_possible_value(), chosen)
    });
    for (chooses, name, chosen) in methods.chain(criteria) {
        let name = name.as_ref().map_or("", |name| name.get_name());
        for option in advice(&chosen)? {
            if !plain.contains(&option) && !option.starts_with(chooses) {
                println!("advises    {option}, for {name}");
            }
        }
    }
    Ok(())
}
