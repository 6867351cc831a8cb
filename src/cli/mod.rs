//! The command line: flags, messages, files and exit codes.

/// In place of the standard one, which panics where stdout cannot be written to.
macro_rules! print {
    ($($text:tt)*) => {
        $crate::cli::stdout::write(format_args!($($text)*))
    };
}

/// The same with the end of a line.
macro_rules! println {
    ($($text:tt)*) => {
        print!("{}\n", format_args!($($text)*))
    };
}

/// In place of the standard one, which panics where stderr cannot be written to.
macro_rules! eprintln {
    ($($text:tt)*) => {
        $crate::cli::stdout::complain(format_args!($($text)*))
    };
}

mod bar;
mod bench;
mod convert;
mod counted;
mod device;
mod devices;
mod distinct;
mod end_request;
mod error;
mod evaluate;
mod experiment;
mod generate;
mod help;
mod info;
mod input;
mod learned;
mod logs;
mod merge;
mod model;
mod model_mark;
mod names;
mod numbers;
mod official;
#[cfg(test)]
mod options_page;
mod output;
mod own_folder;
mod pace;
mod prompts;
mod report;
mod run_folder;
mod sample_files;
mod shell;
mod stdout;
mod train;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use error::CliError;
pub use stdout::complain;

/// Teaches a text-to-image model a new concept from a few pictures, and knows when to stop
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Learn a concept from a folder of pictures
    Train(Box<train::TrainArgs>),
    /// Rerun one of the paper's experiments: every variant on every concept, with tables and figures
    Experiment(experiment::ExperimentArgs),
    /// Draw pictures, with a learned embedding or without
    Generate(generate::GenerateArgs),
    /// Score a run's pictures, or a folder of generated ones: CLIP-I, CLIP-T, DINO, diversity
    Evaluate(evaluate::EvaluateArgs),
    /// Say what a model, a run folder, an embedding or a LoRA is
    Info(info::InfoArgs),
    /// Write a learned embedding or a LoRA as another tool reads it
    Convert(convert::ConvertArgs),
    /// Write one run, or several side by side, as a web page that needs no other file
    Report(report::ReportArgs),
    /// Write a model's denoiser with a run's LoRA or Custom Diffusion weights merged into it
    Merge(merge::MergeArgs),
    /// List the devices that dvar can use here, or compile kernels for NVIDIA GPUs before the first run
    Devices(devices::DevicesArgs),
    /// Time the phases of a training step
    Bench(bench::BenchArgs),
    /// Write a shell's completion script
    Completions(help::CompletionsArgs),
    /// Write man pages
    Man(help::ManArgs),
}

/// The command line as its help tells of it.
fn command() -> clap::Command {
    help::with_help(numbers::with_negative_numbers(Cli::command()))
}

/// Reads a command line, the program's name first; `train` takes the official code's flags too, on
/// which notes go to stderr. Ends the process for `--help`, and for what clap refuses.
///
/// # Errors
///
/// [`CliError`] for values that no flag of the official code has.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, CliError> {
    let official::Translated { args, notes } = official::translate(args.into_iter().collect())?;
    let mut command = command();
    let matches = command.try_get_matches_from_mut(args);
    let matches = matches.unwrap_or_else(|error| numbers::in_words(error, &command).exit());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    notes.iter().for_each(|note| eprintln!("note: {note}"));
    Ok(cli)
}

/// Runs one command.
///
/// # Errors
///
/// [`CliError`], to be shown to the user; with its exit code.
pub fn run(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        Command::Train(args) => train::run(*args),
        Command::Experiment(args) => experiment::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => {
            help::completions(&args, command());
            Ok(())
        }
        Command::Man(args) => help::man(&args, command()),
    }?;
    stdout::check()
}
