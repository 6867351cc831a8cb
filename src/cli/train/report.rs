//! What a run that has ended shows: its curve, its result in words.

use super::{
    announce::{criterion, initializer},
    record::RunResult,
};
use crate::{
    cli::{
        CliError,
        counted::counted,
        model::is_embedded,
        output,
        run_folder::RunFolder,
        shell::{quoted, typed},
    },
    config::{MethodConfig, Stopping, TrainConfig, TrainOptions},
    data::templates::fill,
    early_stopping::StopReason,
    optim::LrSchedule,
    pipelines::{LATENT_DIFFUSION, signs::has_signs},
    plot::{CurvePoint, Watched, curve_svg},
    session::{CheckedOptions, Fall},
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

/// Says how to draw with what was learned, here and in other programs.
pub(super) fn say_how_to_draw(folder: &RunFolder, checked: &CheckedOptions) {
    let CheckedOptions { config, options, model } = checked;
    println!("draw       {}", draw_with(folder, config, options));
    let asked_for = !config.embedding_formats.is_empty() || !config.lora_formats.is_empty();
    // A1111 and ComfyUI draw with none of these
    let for_none = is_embedded(options.data.model.as_deref())
        || *model.family() == LATENT_DIFFUSION
        || matches!(config.method, MethodConfig::CustomDiffusion { .. });
    if !asked_for && !for_none {
        for file in [Some(folder.embedding()), folder.adapter()].into_iter().flatten() {
            let file = typed(&file);
            println!(
                "elsewhere  dvar convert {file} --to a1111 makes it A1111's, --to comfyui ComfyUI's"
            );
        }
    }
}

/// The command that draws with what was learned, as it is typed.
fn draw_with(folder: &RunFolder, config: &TrainConfig, options: &TrainOptions) -> String {
    let (data, training) = (&options.data, &options.training);
    let mut words = vec!["dvar generate".to_string()];
    if let Some(model) = data.model.as_deref().filter(|model| !is_embedded(Some(*model))) {
        words.push(format!("--model {}", typed(model)));
    }
    if data.ema == Some(true) {
        words.push("--ema".into());
    }
    words.extend(training.beta_schedule.map(|name| format!("--beta-schedule {name}")));
    words.extend(training.prediction_type.map(|name| format!("--prediction-type {name}")));
    words.push(format!("--embedding {}", typed(&folder.embedding())));
    words.extend(folder.adapter().map(|file| format!("--adapter {}", typed(&file))));
    let prompt = config.validation_prompts.first().map_or("{}", String::as_str);
    words.push(format!("--prompt {}", quoted(&fill(prompt, &config.placeholder_token))));
    if has_signs(prompt) {
        // the samples were drawn from the text as it stands
        words.push("--literal-prompts".into());
    }
    words.join(" ")
}

/// Whether a run with these rates can be made so long.
fn can_reach(rates: &LrSchedule, steps: usize) -> bool {
    let end = rates.pieces.as_ref().and_then(|rates| rates.pieces.end());
    !rates.kind.follows_length() && end.is_none_or(|end| end >= steps)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::schedulers::PredictionType;

    #[test]
    fn the_command_that_draws_names_all_that_the_pictures_depend_on() {
        let scratch = tempfile::tempdir().unwrap();
        let file = |name: &str| fs::write(scratch.path().join(name), "").unwrap();
        file("config.toml");
        let folder = RunFolder::open(scratch.path()).unwrap();
        let mut options = TrainOptions::default();
        options.data.train_data_dir = Some("my-cat".into());
        options.data.placeholder_token = Some("<my-cat>".into());
        options.start.initializer_token = Some("cat".into());
        let config = TrainConfig::new(&options).unwrap();
        let plain = draw_with(&folder, &config, &options);
        assert!(plain.starts_with("dvar generate --embedding "), "{plain}");
        assert!(plain.ends_with(" --prompt \"a photo of a <my-cat>\""), "{plain}");

        file("pytorch_lora_weights.safetensors");
        options.data.model = Some("my models/dream.safetensors".into());
        options.data.ema = Some(true);
        options.training.prediction_type = Some(PredictionType::VPrediction);
        let all = draw_with(&folder, &config, &options);
        let model = "--model \"my models/dream.safetensors\" --ema --prediction-type v_prediction";
        assert!(all.contains(model) && all.contains(" --adapter "), "{all}");

        options.samples.validation_prompt = Some(vec!["a \"{}\" for $5".into()]);
        let config = TrainConfig::new(&options).unwrap();
        let quoted = draw_with(&folder, &config, &options);
        if cfg!(unix) {
            assert!(quoted.ends_with(" --prompt 'a \"<my-cat>\" for $5'"), "{quoted}");
        }

        options.samples.validation_prompt = Some(vec!["a ({}:1.2)".into()]);
        let config = TrainConfig::new(&options).unwrap();
        let literal = draw_with(&folder, &config, &options);
        assert!(literal.ends_with(" --prompt \"a (<my-cat>:1.2)\" --literal-prompts"), "{literal}");
    }
}
