//! What a run says of itself: its settings in words, its curve, its result.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    cli::{CliError, output, run_folder::RunFolder},
    config::{Initializer, MethodConfig, MixedPrecision, Stopping, TrainConfig},
    early_stopping::StopReason,
    objective::Draws,
    plot::{CurvePoint, Watched, curve_svg},
    schedulers::PredictionType,
    session::{CheckedOptions, PreparedRun},
};

/// A last window that brought more than this share of the loss' whole fall is still learning.
const STILL_LEARNING: f64 = 0.1;

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
#[derive(Serialize)]
struct EvaluationInput {
    /// Index of the training picture.
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
pub(super) fn announce(run: &PreparedRun, folder: &RunFolder, device_name: &str) {
    let CheckedOptions { config, model, .. } = &run.checked;
    let prediction = match model.scheduler().noise_schedule().prediction_type() {
        PredictionType::Epsilon => "",
        PredictionType::VPrediction => ", by v_prediction",
    };
    println!("model      {}{prediction}", model.name());
    println!(
        "concept    {} from {}, {} vector(s), {} pictures of {} px in {}",
        config.placeholder_token,
        initializer(&config.initializer),
        run.start.num_vectors(config),
        run.dataset.pictures().len(),
        run.checked.size(),
        config.train_data_dir.display()
    );
    let trainer = &config.trainer;
    println!(
        "training   {}at most {} steps, batch {} x {}, learning rate {}, on {}",
        method(&config.method),
        trainer.max_train_steps,
        config.train_batch_size,
        trainer.gradient_accumulation_steps,
        trainer.lr_schedule.base_lr,
        device_name
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
            format!("Custom Diffusion of a `{class_prompt}`, ")
        }
    }
}

fn criterion(config: &TrainConfig) -> String {
    let every = config.sample_frequency.unwrap_or(0);
    match config.stopping {
        Stopping::Dvar => watched(config, "DVAR", 1),
        Stopping::Plateau => watched(config, "plateau", 2),
        Stopping::ClipS | Stopping::Baseline if every > config.trainer.max_train_steps => {
            format!("a fixed number of steps: scores come every {every}, which it does not reach")
        }
        Stopping::ClipS => format!("CLIP-s, scored every {every} steps"),
        Stopping::FewIters => "a fixed number of steps".into(),
        Stopping::Baseline => format!("the best of all checkpoints, scored every {every} steps"),
    }
}

/// A criterion that watches the deterministic loss, and whether it can stop the run; it judges from
/// `windows` whole windows on.
fn watched(config: &TrainConfig, name: &str, windows: usize) -> String {
    let evaluations = config.trainer.max_train_steps.div_ceil(config.eval_interval);
    let criterion = format!("{name}, window {}, threshold {}", config.window, config.threshold);
    if config.threshold == 0.0 {
        format!("{criterion}: never stops, a threshold of 0 only watches")
    } else if windows * config.window >= evaluations {
        let what = if windows == 1 { "the window is" } else { "two windows are" };
        format!(
            "{criterion}: never stops, {what} as long as the {evaluations} evaluations or longer"
        )
    } else {
        criterion
    }
}

/// The recorded steps of a run.
pub(in crate::cli) fn read_metrics(folder: &RunFolder) -> Result<Vec<CurvePoint>, CliError> {
    read_metrics_until(folder, usize::MAX)
}

/// The first `steps` of the recorded steps: a run that was killed may have more than it goes on
/// from, and a torn line at the end.
pub(super) fn read_metrics_until(
    folder: &RunFolder,
    steps: usize,
) -> Result<Vec<CurvePoint>, CliError> {
    let path = folder.metrics();
    let text = std::fs::read_to_string(&path).map_err(|error| CliError::read(&path, error))?;
    let points = text.lines().take(steps).map(serde_json::from_str);
    Ok(points.collect::<Result<_, _>>()?)
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
    let label = criterion_stopped.then(|| format!("stopped after {} steps", points.len()));
    let title = format!("{} - {}", config.placeholder_token, criterion(config));
    let figure = match config.stopping {
        Stopping::Plateau => Watched::plateau(config.threshold),
        _ => Watched::dvar(config.threshold),
    };
    let svg = curve_svg(points, &figure, label.as_deref(), &title);
    output::write(&folder.curve(), svg.as_bytes())
}

/// How the deterministic loss fell, by the means of whole windows, as [`Plateau`](crate::early_stopping::Plateau) has it.
#[derive(Debug, PartialEq)]
struct Fall {
    first: f64,
    /// Mean of the last window.
    last: f64,
    evaluations: usize,
    window: usize,
    /// How much of the fall came in the last `window` evaluations.
    share: f64,
}

impl Fall {
    /// None without two whole windows.
    fn new(points: &[CurvePoint], window: usize) -> Option<Self> {
        let losses: Vec<f64> = points.iter().filter_map(|point| point.eval_loss).collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let start = losses.len().checked_sub(2 * window)?;
        let (earlier, recent) = losses[start..].split_at(window);
        let (first, last) = (*losses.first()?, mean(recent));
        let share = (mean(earlier) - last) / (first - last);
        Some(Self { first, last, evaluations: losses.len(), window, share })
    }

    fn fell(&self) -> bool {
        self.first > self.last
    }

    /// Whether the last window brought so much that more steps should bring more.
    fn goes_on(&self) -> bool {
        self.fell() && self.share > STILL_LEARNING
    }
}

impl fmt::Display for Fall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, evaluations, window, share } = self;
        write!(f, "{first:.5} at first, {last:.5} in the last {window} evaluations: ")?;
        if !self.fell() {
            return write!(f, "it did not fall");
        }
        write!(
            f,
            "it fell by {:.1} %, and these brought {:.1} % of that fall, of {evaluations} in all",
            100.0 * (first - last) / first,
            100.0 * share
        )
    }
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
    let fall = Fall::new(points, config.window);
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
        println!("kept       the concept after {} steps, which scored best", result.kept_steps);
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
    if fall.is_some_and(|fall| fall.goes_on()) {
        println!(
            "go on      it was still learning when it stopped: dvar train --resume {} \
             --max-train-steps {}",
            folder.path().display(),
            2 * result.steps
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fall_of_the_loss_is_told_with_the_last_window_s_share() {
        let fall = |losses: &[f64], window| {
            let points = losses.iter().enumerate().map(|(step, loss)| {
                serde_json::from_value(
                    serde_json::json!({ "step": step, "loss": 0, "eval_loss": loss }),
                )
            });
            Fall::new(&points.collect::<Result<Vec<CurvePoint>, _>>().unwrap(), window)
        };
        let told = fall(&[1.0, 0.6, 0.6, 0.5, 0.5], 2).unwrap();
        assert!(told.goes_on());
        let said = told.to_string();
        assert!(said.contains("fell by 50.0 %, and these brought 20.0 % of that fall"), "{said}");
        assert!(!fall(&[1.0, 0.51, 0.51, 0.5, 0.5], 2).unwrap().goes_on());
        let rose = fall(&[0.5, 0.6, 0.7], 1).unwrap();
        assert!(rose.to_string().ends_with("it did not fall") && !rose.goes_on());
        assert_eq!(fall(&[1.0, 0.9, 0.8], 2), None, "no two whole windows");
        assert_eq!(fall(&[], 2), None);
    }
}
