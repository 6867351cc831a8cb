//! A run, from the networks to its report.

use std::sync::atomic::Ordering;

use super::{
    TrainArgs,
    announce::{announce, say_of_flags, say_of_formats, say_of_prompts},
    observer::CommandLine,
    plan,
    record::{RunResult, mark, read_metrics},
    report::{report, say_how_to_draw, write_curve},
};
use crate::{
    callbacks::Interrupt,
    cli::{
        CliError,
        convert::{write_formats, write_lora_formats},
        device,
        end_request::on_end_request,
        model::{say_name, say_sampler},
        report::write_own,
        run_folder::RunFolder,
    },
    early_stopping::StopReason,
    session::{self, NamedDevice, Outcome, PreparedRun},
};

/// Makes the run that the flags ask for.
pub(in crate::cli) fn run(args: TrainArgs) -> Result<(), CliError> {
    let (prepared, folder, devices) = plan::prepare(&args)?;
    let interrupt = interrupt_on_ctrl_c()?;
    announce(&prepared, &folder, &devices);
    say_name(prepared.checked.options.data.model.as_deref());
    if prepared.checked.config.scheduler.is_none() {
        say_sampler(&prepared.checked.model);
    }
    say_of_flags(&prepared, &args.options)?;
    say_of_formats(&prepared);
    say_of_prompts(&prepared)?;
    let device = prepared.device.clone();
    let (state, go_on) = (folder.state(), folder.go_on());
    let made = device::run(&device, || {
        pollster::block_on(make(prepared, folder, &devices, interrupt, args.dashboard()))
    });
    // the device may have taken with it what was learned since
    if made.as_ref().is_err_and(CliError::is_of_device) && state.is_file() {
        eprintln!("note: the last checkpoint is kept; go on from it with: {go_on}");
    }
    made
}

async fn make(
    prepared: PreparedRun,
    folder: RunFolder,
    devices: &[NamedDevice],
    interrupt: Interrupt,
    dashboard: bool,
) -> Result<(), CliError> {
    let observer = CommandLine::new(&prepared, folder, &devices[1..], interrupt, dashboard);
    let outcome = session::run(&prepared, &observer).await;
    let when = match outcome.map_err(|error| observer.keep_last_good(error)) {
        Ok(Outcome { stop: stop @ StopReason::Interrupted { .. }, .. }) => stop.to_string(),
        Ok(outcome) => return conclude(&prepared, &observer, outcome),
        Err(CliError::Interrupted) => "interrupted".into(),
        Err(error) => return Err(error),
    };
    // to the end that was asked for
    observer.folder.set_options()?;
    // one that could not begin is gone
    if observer.folder.config().is_file() {
        let embedding = observer.folder.embedding();
        if embedding.is_file() {
            println!("embedding  {}, as learned so far", embedding.display());
        }
        println!("stop       {when}; go on with: {}", observer.folder.go_on());
    } else {
        println!("stop       {when}; nothing is kept");
    }
    Err(CliError::Interrupted)
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
    let layers = prepared.checked.model.unet_config().layers_per_block;
    write_lora_formats(&folder.loras(), &config.lora_formats, outcome.kept(), layers)?;
    let Outcome { steps, stop, best, clip_i_before, clip_i, initializer_token, .. } = outcome;
    let scores = [("clip_i_before", clip_i_before), ("clip_i_after", clip_i)];
    observer.logs()?.finish(steps, &scores)?;
    let points = read_metrics(folder)?;
    write_curve(folder, config, &points, &stop)?;
    let kept_steps = best.map_or(steps, |best| best.steps);
    let pictures = Some(mark(&prepared.dataset));
    let result =
        RunResult { steps, kept_steps, stop, clip_i_before, clip_i, initializer_token, pictures };
    report(folder, config, &points, &result)?;
    write_own(folder)?;
    println!("report     {}", folder.report().display());
    say_how_to_draw(folder, &prepared.checked);
    Ok(())
}

fn interrupt_on_ctrl_c() -> Result<Interrupt, CliError> {
    let interrupt = Interrupt::default();
    let flag = interrupt.0.clone();
    on_end_request(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130); // asked twice: at once; files are whole at every instant
        }
        eprintln!("\nstopping; press Ctrl-C again to stop at once");
    })?;
    Ok(interrupt)
}
