//! `dvar train`

mod announce;
mod class_pictures;
#[cfg(feature = "tui")]
mod dashboard;
mod observer;
mod of_pictures;
mod part;
mod plan;
mod progress;
mod record;
mod report;
mod run;
mod search;
mod step_trial;

use std::path::{Path, PathBuf};

pub(super) use plan::{check, saved};
pub(super) use record::{RunResult, mark, read_metrics, read_metrics_until, read_result};
pub(super) use run::run;

use super::{
    CliError, input,
    names::{folder_name, plain_name},
    run_folder::RunFolder,
};
use crate::{
    config::{Preset, TrainOptions, TrainingOptions},
    early_stopping::StopReason,
};

/// Flags of `dvar train`; of a flag that is given twice, the last one holds.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "These defaults hold where neither a preset nor the model says otherwise; the \
                  default model does: `dvar info embedded`"
)]
pub(super) struct TrainArgs {
    /// Folder with the 3-6 pictures of the concept, as `--train-data-dir`; without
    /// `--placeholder-token` the concept is named after it
    #[arg(value_name = "FOLDER", conflicts_with = "train_data_dir")]
    folder: Option<PathBuf>,
    /// Settings of one of the paper's experiments; flags and `--config` win over them
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
    /// File with options; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Go on with an interrupted run, or with any run up to a larger `--max-train-steps`, by the run's own
    /// options; give the same `--device` again for the same bytes
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// cpu, wgpu, cuda:0, ... (see `dvar devices`), or auto: the best GPU there is, else the CPU;
    /// several, such as `cuda:0,cuda:1`, share the inputs of each step
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Show the run on a dashboard that fills the terminal; where there is none, lines as without it
    #[cfg(feature = "tui")]
    #[arg(long)]
    tui: bool,
    // last, because its headings would hold for what comes after
    #[command(flatten)]
    options: TrainOptions,
}

impl TrainArgs {
    /// Whether the dashboard is wanted and there is a terminal to show it on.
    fn dashboard(&self) -> bool {
        #[cfg(feature = "tui")]
        return self.tui && std::io::IsTerminal::is_terminal(&std::io::stdout());
        #[cfg(not(feature = "tui"))]
        return false;
    }
}

/// The options of the flags, the configuration file or the resumed run, and that run's folder.
fn options(args: &TrainArgs) -> Result<(TrainOptions, Option<RunFolder>), CliError> {
    if let Some(run) = &args.resume {
        check_alone(args)?;
        let folder = RunFolder::resume(run)?;
        let mut options = folder.options()?;
        if let Some(steps) = args.options.training.max_train_steps {
            let stop = folder.read_state()?.and_then(|state| state.stop);
            end_after(steps, &mut options.training, stop.as_ref());
        }
        return Ok((options, Some(folder)));
    }
    let mut options = args.options.clone();
    if let Some(file) = &args.config {
        let source = file.display().to_string();
        options = options.over(&TrainOptions::from_toml(&input::text(file)?, &source)?)?;
    }
    if let Some(preset) = args.preset {
        options = options.over(&preset.options())?;
    }
    if let Some(pictures) = &args.folder {
        options.data.train_data_dir = Some(pictures.clone());
    }
    if let (None, Some(pictures)) = (&options.data.placeholder_token, &options.data.train_data_dir)
    {
        options.data.placeholder_token = Some(named_after(pictures));
    }
    Ok((options, None))
}

/// Gives a run another end. One that its criterion has stopped goes on to it whatever the criterion says,
/// as does one that was on its way to such an end; any other goes on under its criterion.
fn end_after(steps: usize, training: &mut TrainingOptions, stop: Option<&StopReason>) {
    let (least, most) = (training.min_train_steps, training.max_train_steps);
    training.min_train_steps = match stop {
        _ if least.is_some() && least == most => Some(steps),
        Some(StopReason::MaxSteps { steps: made }) => Some(steps.min(*made)),
        None | Some(StopReason::Interrupted { .. }) => least.map(|least| least.min(steps)),
        Some(_) => Some(steps),
    };
    training.max_train_steps = Some(steps);
}

/// Beside `--resume` nothing is given but the device, and where the run is to end.
fn check_alone(args: &TrainArgs) -> Result<(), CliError> {
    let mut others = args.options.clone();
    others.training.max_train_steps = None;
    let more = args.config.is_some() || args.preset.is_some() || args.folder.is_some();
    if others == TrainOptions::default() && !more {
        return Ok(());
    }
    Err(CliError::Input(
        "`--resume` takes every option from the run; give no other than `--device`, and \
         `--max-train-steps` for another end, beside it"
            .into(),
    ))
}

/// The word for pictures in a folder that the user named: `My Cat` gives `<my-cat>`.
fn named_after(pictures: &Path) -> String {
    format!("<{}>", plain_name(&folder_name(pictures).to_lowercase()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TrainArgs,
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_preset() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my-cat.toml");
        std::fs::write(&file, "seed = 2\nwindow = 9\nmax_train_steps = 5\n").unwrap();
        let file = file.to_str().unwrap();
        let line = ["train", "My Cat", "--preset", "quick", "--config", file, "--seed", "3"];
        let (chosen, _) = options(&Line::parse_from(line).args).unwrap();
        assert_eq!(chosen.data.seed, Some(3), "the flag's");
        let of_file = (chosen.stopping.window, chosen.training.max_train_steps);
        assert_eq!(of_file, (Some(9), Some(5)));
        let of_preset = Preset::Quick.options().samples.num_samples;
        assert!(of_preset.is_some() && chosen.samples.num_samples == of_preset);
        assert_eq!(chosen.data.placeholder_token.as_deref(), Some("<my-cat>"));
    }

    #[test]
    fn a_run_with_another_end_obeys_its_criterion_unless_that_has_stopped_it() {
        let least = |(least, most): (Option<usize>, usize), stop: Option<StopReason>| {
            let mut training = TrainingOptions::default();
            (training.min_train_steps, training.max_train_steps) = (least, Some(most));
            end_after(20, &mut training, stop.as_ref());
            assert_eq!(training.max_train_steps, Some(20));
            training.min_train_steps
        };
        let interrupted = || Some(StopReason::Interrupted { steps: 4 });
        assert_eq!(least((None, 10), None), None);
        assert_eq!(least((Some(5), 10), interrupted()), Some(5));
        assert_eq!(least((Some(30), 40), interrupted()), Some(20), "no more than it makes");
        let plateau = StopReason::Plateau { step: 9, share: 0.0, threshold: 0.05, window: 4 };
        assert_eq!(least((None, 10), Some(plateau)), Some(20));
        assert_eq!(least((None, 10), Some(StopReason::MaxSteps { steps: 10 })), Some(10));
        assert_eq!(least((Some(10), 10), interrupted()), Some(20), "it was not heard before");
    }
}
