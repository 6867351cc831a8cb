//! What a run that has ended shows: its curve, its result in words.

use super::{
    announce::{criterion, initializer},
    record::RunResult,
};
use crate::{
    cli::{CliError, counted::counted, output, run_folder::RunFolder},
    config::{Stopping, TrainConfig},
    early_stopping::StopReason,
    optim::LrSchedule,
    plot::{CurvePoint, Watched, curve_svg},
    session::Fall,
};

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

/// Whether a run with these rates can be made so long.
fn can_reach(rates: &LrSchedule, steps: usize) -> bool {
    let end = rates.pieces.as_ref().and_then(|rates| rates.pieces.end());
    !rates.kind.follows_length() && end.is_none_or(|end| end >= steps)
}
