//! What is written of a run and read again: its log, its result, its evaluation's inputs.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::{
    cli::{CliError, input, output, run_folder::RunFolder},
    data::dataset::Dataset,
    early_stopping::StopReason,
    objective::Draws,
    plot::CurvePoint,
    session::fingerprint,
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
    let text = input::text(&folder.metrics())?;
    let points = text.lines().take(steps).map(serde_json::from_str);
    points.collect::<Result<_, serde_json::Error>>().map_err(|error| no_log(folder, &error))
}

/// Of a log that is not as the run wrote it.
pub(super) fn no_log(folder: &RunFolder, error: &impl Display) -> CliError {
    CliError::Input(format!(
        "`{}` is no longer the run's log: {error}; put it back, or start the run anew",
        folder.metrics().display()
    ))
}

/// After how many updates the best score came, and the score; of equal scores, the earliest.
pub(super) fn best(points: &[CurvePoint]) -> Option<(usize, f64)> {
    let scored = points.iter().filter_map(|point| Some((point.step + 1, point.clip_i?)));
    scored.fold(None, |best: Option<(usize, f64)>, (steps, score)| match best {
        Some((_, most)) if score <= most => best,
        _ => Some((steps, score)),
    })
}
