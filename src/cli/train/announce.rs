//! What a run says of itself before it begins.

use super::of_pictures::{counted_pictures, say_of_captions, say_of_pictures};
use crate::{
    cli::{
        CliError, counted::counted, model::is_embedded, prompts::say_cut, run_folder::RunFolder,
    },
    concept::LoraFormat,
    config::{Initializer, MethodConfig, MixedPrecision, Stopping, TrainConfig, TrainOptions},
    data::templates::fill,
    embedding::EmbeddingFormat,
    schedulers::PredictionType,
    session::{CheckedOptions, NamedDevice, PreparedRun},
};

/// Says what the run is.
pub(super) fn announce(run: &PreparedRun, folder: &RunFolder, devices: &[NamedDevice]) {
    let CheckedOptions { config, model, .. } = &run.checked;
    let prediction = match model.scheduler().noise_schedule().prediction_type() {
        PredictionType::Epsilon => "",
        PredictionType::VPrediction => ", by v_prediction",
    };
    println!("model      {}{prediction}", model.name());
    println!(
        "concept    {} from {}, {}, {} of {} px in {}",
        config.placeholder_token,
        initializer(&config.initializer),
        counted(run.start.num_vectors(config), "vector"),
        counted_pictures(&run.dataset),
        run.checked.size(),
        config.train_data_dir.display()
    );
    say_of_pictures(run);
    let trainer = &config.trainer;
    println!(
        "training   {}at most {}, batch {} x {}, learning rate {}, on {}",
        method(&config.method),
        counted(trainer.max_train_steps, "step"),
        config.train_batch_size,
        trainer.gradient_accumulation_steps,
        trainer.lr_schedule.base_lr,
        shared_out(devices, config.train_batch_size)
    );
    if config.mixed_precision != MixedPrecision::No {
        println!(
            "precision  {}; vectors, optimiser, norms, softmax and losses in f32{}",
            config.mixed_precision,
            if trainer.loss_scaling { ", the loss is scaled" } else { "" }
        );
    }
    println!("criterion  {}", criterion(config));
    println!("output     {}", folder.path().display());
    if let Some(state) = &run.state {
        println!("resuming   at step {}", state.step);
    }
}

/// Says of each flag that does nothing in this run. Of a file's options nothing is said: a run's own has
/// them all, and one may serve several runs.
pub(super) fn say_of_flags(run: &PreparedRun, flags: &TrainOptions) -> Result<(), CliError> {
    for (option, why) in run.checked.without_effect(flags)? {
        eprintln!("warning: `--{}` does nothing here: {why}", option.replace('_', "-"));
    }
    Ok(())
}

/// Says for whom a run on the default model is, if it is to write files for tools that have no such model.
pub(super) fn say_of_formats(run: &PreparedRun) {
    let CheckedOptions { config, options, .. } = &run.checked;
    let mut embeddings = config.embedding_formats.iter();
    let mut loras = config.lora_formats.iter();
    let for_others = embeddings.any(|format| *format != EmbeddingFormat::Diffusers)
        || loras.any(|format| *format != LoraFormat::Diffusers);
    if for_others && is_embedded(options.data.model.as_deref()) {
        eprintln!(
            "note: what is learned fits the default model alone, and of other tools only diffusers draws \
             with that; to draw in another one, train on a checkpoint that it has, by `--model FILE`"
        );
    }
}

/// Says of prompts and captions that are too long to be read to their end.
pub(super) fn say_of_prompts(run: &PreparedRun) -> Result<(), CliError> {
    let CheckedOptions { config, model, .. } = &run.checked;
    let token = &config.placeholder_token;
    let mut tokenizers = model.tokenizers()?;
    tokenizers.add_placeholder(token, run.start.num_vectors(config))?;
    let prompts = config.validation_prompts.iter().map(|prompt| fill(prompt, token));
    let prompts: Vec<String> = prompts.collect();
    say_cut(&tokenizers, prompts.iter().map(String::as_str));
    say_of_captions(run, &tokenizers);
    Ok(())
}

/// The devices' names, and how many inputs of a batch each computes where there are several.
fn shared_out(devices: &[NamedDevice], inputs: usize) -> String {
    let names: Vec<&str> = devices.iter().map(|(_, name)| name.as_str()).collect();
    let (last, others) = match names.as_slice() {
        [only] => return (*only).to_string(),
        [others @ .., last] => (last, others.join(", ")),
        [] => return String::new(),
    };
    let (fewest, most) = (inputs / names.len(), inputs.div_ceil(names.len()));
    let each =
        if fewest < most { format!("{fewest} or {most} inputs") } else { counted(most, "input") };
    format!("{others} and {last}, {each} each")
}

pub(super) fn initializer(initializer: &Initializer) -> String {
    match initializer {
        Initializer::Token(word) => format!("`{word}`"),
        Initializer::Text(text) => format!("the tokens of `{text}`"),
        Initializer::File(file) => file.display().to_string(),
        Initializer::Random => "a random token".into(),
        Initializer::Best => "the vocabulary's best token".into(),
        Initializer::Worst => "the vocabulary's worst token".into(),
        Initializer::LowestLoss => "the word of the lowest loss".into(),
    }
}

fn method(method: &MethodConfig) -> String {
    match method {
        MethodConfig::TextualInversion => String::new(),
        MethodConfig::DreamboothLora { rank, .. } => format!("DreamBooth-LoRA of rank {rank}, "),
        MethodConfig::CustomDiffusion { class_prompt, .. } => {
            format!("Custom Diffusion of the class `{class_prompt}`, ")
        }
    }
}

pub(super) fn criterion(config: &TrainConfig) -> String {
    let every = config.sample_frequency.unwrap_or(0);
    match config.stopping {
        Stopping::Dvar => watched(config, "DVAR"),
        Stopping::Plateau => watched(config, "plateau"),
        Stopping::ClipS | Stopping::Baseline if every > config.trainer.max_train_steps => {
            format!("a fixed number of steps: scores come every {every}, which it does not reach")
        }
        Stopping::ClipS => {
            let criterion = format!("CLIP-s, scored every {}", counted(every, "step"));
            // the first score is the best so far, and as many as the patience may follow it
            let needed = config.patience.patience().saturating_add(2);
            let scores = config.trainer.max_train_steps / every.max(1);
            judged(config, criterion, needed, scores, "score")
        }
        Stopping::FewIters => "a fixed number of steps".into(),
        Stopping::Baseline => {
            format!("the best of all checkpoints, scored every {}", counted(every, "step"))
        }
    }
}

/// A criterion that watches the deterministic loss, and whether it can stop the run.
fn watched(config: &TrainConfig, name: &str) -> String {
    let needed = config.evaluations_to_stop();
    let evaluations = config.trainer.max_train_steps.div_ceil(config.eval_interval);
    let criterion = format!("{name}, window {}, threshold {}", config.window, config.threshold);
    if config.threshold == 0.0 {
        format!("{criterion}: never stops, a threshold of 0 only watches")
    } else {
        judged(config, criterion, needed, evaluations, "evaluation")
    }
}

/// A criterion that judges from `needed` values on, and whether it can stop the run: with so many values,
/// and steps that it may stop at.
fn judged(
    config: &TrainConfig,
    criterion: String,
    needed: usize,
    there: usize,
    value: &str,
) -> String {
    if needed > there {
        return format!(
            "{criterion}: never stops, it needs at least {needed} {value}s and gets {there}"
        );
    }
    if config.trainer.callbacks_can_end() {
        return criterion;
    }
    let steps = counted(config.trainer.min_train_steps, "step");
    format!("{criterion}: never stops, {steps} are made in any case")
}
