//! What a run says of itself: its settings in words, its curve, its result.

use serde::{Deserialize, Serialize};

use super::of_pictures::{counted_pictures, say_of_captions, say_of_pictures};
use crate::{
    cli::{CliError, counted::counted, output, prompts::say_cut, run_folder::RunFolder},
    config::{Initializer, MethodConfig, MixedPrecision, Stopping, TrainConfig, TrainOptions},
    data::{dataset::Dataset, templates::fill},
    early_stopping::StopReason,
    objective::Draws,
    optim::LrSchedule,
    plot::{CurvePoint, Watched, curve_svg},
    schedulers::PredictionType,
    session::{CheckedOptions, Fall, NamedDevice, PreparedRun, fingerprint},
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
    /// The word that `best`, `worst`, `random` or `lowest-loss` found.
    pub initializer_token: Option<String>,
    /// [`mark`] of the concept's pictures; dvar 0.1.0 wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<String>,
}

/// What stands for pictures, with their captions and masks, as a run sees them.
pub(in crate::cli) fn mark(pictures: &Dataset) -> String {
    format!("{:016x}", fingerprint("", [pictures]))
}

/// What came of a run that has ended, and has made no step since: one that goes on beyond its end
/// leaves what it wrote there until it ends anew.
pub(in crate::cli) fn read_result(folder: &RunFolder) -> Result<Option<RunResult>, CliError> {
    let Ok(bytes) = std::fs::read(folder.result()) else { return Ok(None) };
    let result: RunResult = serde_json::from_slice(&bytes).map_err(|error| {
        CliError::Input(format!(
            "`{}` is no result of a run ({error}); make it anew with: {}",
            folder.result().display(),
            folder.go_on()
        ))
    })?;
    let made = folder.read_state()?.map_or(0, |state| state.step);
    Ok((made <= result.steps).then_some(result))
}

/// One input of the first deterministic evaluation, in `evaluation_inputs.json`: with `each_input`,
/// its losses are `eval_loss_input_N` of `metrics.jsonl`, counted over all rounds from 0.
#[derive(Serialize)]
struct EvaluationInput {
    /// Index of the training picture, in a round of those that count several times.
    picture: usize,
    mirrored: bool,
    /// Index of the caption template.
    template: usize,
    timestep: usize,
}

/// Writes what the inputs of the first deterministic evaluation are.
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
    let json = serde_json::to_vec_pretty(&inputs.collect::<Vec<_>>())?;
    output::write(&folder.evaluation_inputs(), &json)
}

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

fn initializer(initializer: &Initializer) -> String {
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

fn criterion(config: &TrainConfig) -> String {
    let every = config.sample_frequency.unwrap_or(0);
    match config.stopping {
        Stopping::Dvar => watched(config, "DVAR", config.window.saturating_add(1)),
        Stopping::Plateau => watched(config, "plateau", config.window.saturating_mul(2)),
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

/// A criterion that watches the deterministic loss, and whether it can stop the run; it judges from so
/// many evaluations on.
fn watched(config: &TrainConfig, name: &str, needed: usize) -> String {
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

/// Whether a run with these rates can be made so long.
fn can_reach(rates: &LrSchedule, steps: usize) -> bool {
    let end = rates.pieces.as_ref().and_then(|rates| rates.pieces.end());
    !rates.kind.follows_length() && end.is_none_or(|end| end >= steps)
}

/// The recorded steps of a run.
pub(in crate::cli) fn read_metrics(folder: &RunFolder) -> Result<Vec<CurvePoint>, CliError> {
    read_metrics_until(folder, usize::MAX)
}

/// The first `steps` of the recorded steps: a run that was killed may have more than it goes on
/// from, and a torn line at the end.
pub(in crate::cli) fn read_metrics_until(
    folder: &RunFolder,
    steps: usize,
) -> Result<Vec<CurvePoint>, CliError> {
    let path = folder.metrics();
    let text = std::fs::read_to_string(&path).map_err(|error| CliError::read(&path, error))?;
    let points = text.lines().take(steps).map(serde_json::from_str);
    points.collect::<Result<_, _>>().map_err(|error: serde_json::Error| {
        CliError::Input(format!(
            "`{}` is no longer the run's log: {error}; put it back, or start the run anew",
            path.display()
        ))
    })
}

/// After how many updates the best score came, and the score; of equal scores, the earliest.
pub(super) fn best(points: &[CurvePoint]) -> Option<(usize, f64)> {
    let scored = points.iter().filter_map(|point| Some((point.step + 1, point.clip_i?)));
    scored.fold(None, |best: Option<(usize, f64)>, (steps, score)| match best {
        Some((_, most)) if score <= most => best,
        _ => Some((steps, score)),
    })
}

pub(super) fn write_curve(
    folder: &RunFolder,
    config: &TrainConfig,
    points: &[CurvePoint],
    stop: &StopReason,
) -> Result<(), CliError> {
    let criterion_stopped =
        !matches!(stop, StopReason::MaxSteps { .. } | StopReason::Interrupted { .. });
    let label =
        criterion_stopped.then(|| format!("stopped after {}", counted(points.len(), "step")));
    let title = format!("{} - {}", config.placeholder_token, criterion(config));
    let figure = match config.stopping {
        Stopping::Plateau => Watched::plateau(config.threshold),
        Stopping::Dvar => Watched::dvar(config.threshold),
        // by scores, or by none: the options have a threshold, which nothing asks
        Stopping::ClipS | Stopping::Baseline | Stopping::FewIters => Watched::dvar(f64::NAN),
    };
    let svg = curve_svg(points, &figure, label.as_deref(), &title);
    output::write(&folder.curve(), svg.as_bytes())
}

pub(super) fn report(
    folder: &RunFolder,
    config: &TrainConfig,
    points: &[CurvePoint],
    result: &RunResult,
) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(result)?;
    output::write(&folder.result(), format!("{json}\n").as_bytes())?;
    println!("stop       {}", result.stop);
    let losses: Vec<f64> = points.iter().filter_map(|point| point.eval_loss).collect();
    let fall = Fall::new(&losses, config.window);
    if let Some(fall) = &fall {
        println!("loss       {fall}");
    }
    if let Some(word) = &result.initializer_token {
        println!("start      `{word}`");
    }
    if let StopReason::ConstantObjective { .. } = result.stop {
        println!(
            "warning    the deterministic loss never changed: check the pictures and the learning rate"
        );
    }
    if result.kept_steps != result.steps {
        let kept = counted(result.kept_steps, "step");
        println!("kept       the concept after {kept}, which scored best");
    }
    if let (Some(before), Some(after)) = (result.clip_i_before, result.clip_i) {
        println!("CLIP-I     {before:.3} before, {after:.3} after");
        if after < before {
            println!(
                "warning    the samples are less like the pictures than those of {} alone: try \
                 another `--initializer-token`, `--learning-rate` or `--num-vectors`",
                initializer(&config.initializer)
            );
        }
    }
    let more = 2 * result.steps;
    if fall.is_some_and(|fall| fall.goes_on()) && can_reach(&config.trainer.lr_schedule, more) {
        println!(
            "go on      it was still learning when it stopped: {} --max-train-steps {more}",
            folder.go_on()
        );
    }
    println!("embedding  {}", folder.embedding().display());
    if let Some(adapter) = folder.adapter() {
        println!("adapter    {}", adapter.display());
    }
    println!(
        "samples    {} and {}",
        folder.samples("before").display(),
        folder.samples("after").display()
    );
    println!("curve      {}", folder.curve().display());
    Ok(())
}
