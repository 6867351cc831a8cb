//! A run, from the networks to its report.

use std::sync::atomic::Ordering;

use super::{
    TrainArgs,
    observer::CommandLine,
    plan,
    report::{self, RunResult},
};
use crate::{
    callbacks::Interrupt,
    cli::{
        CliError,
        convert::{write_formats, write_lora_formats},
        device,
        report::write_own,
        run_folder::RunFolder,
    },
    early_stopping::StopReason,
    session::{self, NamedDevice, Outcome, PreparedRun},
};

/// Makes the run that the flags ask for.
pub(in crate::cli) fn run(args: TrainArgs) -> Result<(), CliError> {
    let (prepared, folder, devices) = plan::prepare(&args)?;
    report::announce(&prepared, &folder, &devices);
    report::say_of_prompts(&prepared)?;
    let device = prepared.device.clone();
    device::run(&device, || pollster::block_on(make(prepared, folder, &devices, args.dashboard())))
}

async fn make(
    prepared: PreparedRun,
    folder: RunFolder,
    devices: &[NamedDevice],
    dashboard: bool,
) -> Result<(), CliError> {
    let interrupt = interrupt_on_ctrl_c()?;
    let observer = CommandLine::new(&prepared, folder, &devices[1..], interrupt, dashboard);
    let outcome = session::run(&prepared, &observer).await;
    let outcome = outcome.map_err(|error| observer.keep_last_good(error))?;
    if let StopReason::Interrupted { .. } = outcome.stop {
        println!("stop       {}; go on with: {}", outcome.stop, observer.folder.go_on());
        return Err(CliError::Interrupted);
    }
    conclude(&prepared, &observer, outcome)
}

/// Writes what the run leaves beside its checkpoint and its pictures.
fn conclude(
    prepared: &PreparedRun,
    observer: &CommandLine<'_>,
    outcome: Outcome,
) -> Result<(), CliError> {
    let (config, folder) = (&prepared.checked.config, &observer.folder);
    let formats = &config.embedding_formats;
    write_formats(&folder.embeddings(), formats, &outcome.kept().embedding)?;
    write_lora_formats(&folder.loras(), &config.lora_formats, outcome.kept())?;
    let Outcome { steps, stop, best, clip_i_before, clip_i, initializer_token, .. } = outcome;
    let scores = [("clip_i_before", clip_i_before), ("clip_i_after", clip_i)];
    observer.logs()?.finish(steps, &scores)?;
    let points = report::read_metrics(folder)?;
    report::write_curve(folder, config, &points, &stop)?;
    let kept_steps = best.map_or(steps, |best| best.steps);
    let result = RunResult { steps, kept_steps, stop, clip_i_before, clip_i, initializer_token };
    report::report(folder, config, &points, &result)?;
    write_own(folder)?;
    println!("report     {}", folder.report().display());
    Ok(())
}

fn interrupt_on_ctrl_c() -> Result<Interrupt, CliError> {
    let interrupt = Interrupt::default();
    let flag = interrupt.0.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130); // asked twice: at once; files are whole at every instant
        }
        eprintln!("\nstopping; press Ctrl-C again to stop at once");
    })?;
    Ok(interrupt)
}
