//! What a run says of itself: its settings in words, its curve, its result.

use serde::{Deserialize, Serialize};

use crate::{
    callbacks::write_concept,
    cli::{CliError, run_folder::RunFolder},
    concept::Concept,
    config::{Initializer, MethodConfig, Stopping, TrainConfig},
    early_stopping::StopReason,
    objective::Draws,
    plot::{CurvePoint, curve_svg},
    trainer::TrainError,
};

/// `result.json`: what came of a run, without clock times, so that equal runs give equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct RunResult {
    /// Updates made.
    pub steps: usize,
    /// Updates of the concept that was kept.
    pub kept_steps: usize,
    pub stop: StopReason,
    /// CLIP-I of the samples before and after training, where the model brings a scorer.
    pub clip_i_before: Option<f64>,
    pub clip_i: Option<f64>,
    /// The token that `best`, `worst` or `random` found.
    pub initializer_token: Option<String>,
}

/// One input of the first deterministic evaluation, in `evaluation_inputs.json`: with `each_input`,
/// its losses are `eval_loss_input_N` of `metrics.jsonl`, counted over all rounds from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct EvaluationInput {
    /// Index of the training picture.
    pub picture: usize,
    pub mirrored: bool,
    /// Index of the caption template.
    pub template: usize,
    pub timestep: usize,
}

pub(super) fn write_evaluation_inputs(
    folder: &RunFolder,
    rounds: &[Draws],
) -> Result<(), CliError> {
    let inputs = rounds.iter().flat_map(|round| {
        (0..round.pictures.len()).map(|input| EvaluationInput {
            picture: round.pictures[input],
            mirrored: round.flips[input],
            template: round.templates[input],
            timestep: round.timesteps[input],
        })
    });
    let json = serde_json::to_vec_pretty(&inputs.collect::<Vec<_>>()).map_err(CliError::failed)?;
    RunFolder::write(&folder.evaluation_inputs(), &json)
}

pub(super) fn initializer(initializer: &Initializer) -> String {
    match initializer {
        Initializer::Token(word) => format!("`{word}`"),
        Initializer::Text(text) => format!("the tokens of `{text}`"),
        Initializer::File(file) => file.display().to_string(),
        Initializer::Random => "a random token".into(),
        Initializer::Best => "the vocabulary's best token".into(),
        Initializer::Worst => "the vocabulary's worst token".into(),
    }
}

pub(super) fn method(method: &MethodConfig) -> String {
    match method {
        MethodConfig::TextualInversion => String::new(),
        MethodConfig::DreamboothLora { rank, .. } => format!("DreamBooth-LoRA of rank {rank}, "),
        MethodConfig::CustomDiffusion { class_prompt, .. } => {
            format!("Custom Diffusion of a `{class_prompt}`, ")
        }
    }
}

pub(super) fn criterion(config: &TrainConfig) -> String {
    let every = config.sample_frequency.unwrap_or(0);
    match config.stopping {
        Stopping::Dvar => dvar(config),
        Stopping::ClipS | Stopping::Baseline if every > config.trainer.max_train_steps => {
            format!("a fixed number of steps: scores come every {every}, which it does not reach")
        }
        Stopping::ClipS => format!("CLIP-s, scored every {every} steps"),
        Stopping::FewIters => "a fixed number of steps".into(),
        Stopping::Baseline => format!("the best of all checkpoints, scored every {every} steps"),
    }
}

fn dvar(config: &TrainConfig) -> String {
    let evaluations = config.trainer.max_train_steps.div_ceil(config.eval_interval);
    let dvar = format!("DVAR, window {}, threshold {}", config.window, config.threshold);
    if config.threshold == 0.0 {
        format!("{dvar}: never stops, a threshold of 0 only watches")
    } else if config.window >= evaluations {
        format!(
            "{dvar}: never stops, the window is as long as the {evaluations} evaluations or longer"
        )
    } else {
        dvar
    }
}

/// Saves the last parameters that gave finite losses.
pub(super) async fn keep_last_good(
    folder: &RunFolder,
    concept: &Concept,
    error: TrainError,
) -> CliError {
    let kept = concept.read().await.map_err(CliError::failed);
    let written =
        kept.and_then(|kept| write_concept(folder.path(), &kept).map_err(CliError::failed));
    match written {
        Ok(()) => CliError::Failed(format!(
            "{error}; the last good vectors are in `{}`",
            folder.embedding().display()
        )),
        Err(_) => CliError::failed(error),
    }
}

/// The recorded steps of a run.
pub(in crate::cli) fn read_metrics(folder: &RunFolder) -> Result<Vec<CurvePoint>, CliError> {
    let text = std::fs::read_to_string(folder.metrics()).map_err(CliError::failed)?;
    let points: Result<Vec<CurvePoint>, _> = text.lines().map(serde_json::from_str).collect();
    points.map_err(CliError::failed)
}

pub(super) fn write_curve(
    folder: &RunFolder,
    config: &TrainConfig,
    points: &[CurvePoint],
    stop: &StopReason,
) -> Result<(), CliError> {
    let label = matches!(
        stop,
        StopReason::Dvar { .. }
            | StopReason::ConstantObjective { .. }
            | StopReason::NoImprovement { .. }
    )
    .then(|| format!("stopped after {} steps", points.len()));
    let title = format!("{} - {}", config.placeholder_token, criterion(config));
    let svg = curve_svg(points, config.threshold, label.as_deref(), &title);
    RunFolder::write(&folder.curve(), svg.as_bytes())
}

pub(super) fn report(folder: &RunFolder, result: &RunResult) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(result).map_err(CliError::failed)?;
    RunFolder::write(&folder.result(), format!("{json}\n").as_bytes())?;
    println!("stop       {}", result.stop);
    if let Some(word) = &result.initializer_token {
        println!("start      `{word}`");
    }
    if let StopReason::ConstantObjective { .. } = result.stop {
        println!(
            "warning    the deterministic loss never changed: check the pictures and the learning rate"
        );
    }
    if result.kept_steps != result.steps {
        println!("kept       the concept after {} steps, which scored best", result.kept_steps);
    }
    if let (Some(before), Some(after)) = (result.clip_i_before, result.clip_i) {
        println!("CLIP-I     {before:.3} before, {after:.3} after");
    }
    println!("embedding  {}", folder.embedding().display());
    println!(
        "samples    {} and {}",
        folder.samples("before").display(),
        folder.samples("after").display()
    );
    println!("curve      {}", folder.curve().display());
    Ok(())
}
