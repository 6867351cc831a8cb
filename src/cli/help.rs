//! The command line with its defaults in the help, for the terminal, shells, man pages and
//! `docs/options.md`.

use std::{io, path::PathBuf};

use clap::{Command, CommandFactory};

use super::{Cli, CliError};
use crate::config::TrainOptions;

/// Flags of `dvar completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Flags of `dvar man`.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Folder to write a page for each command to [default: the program's own page to the terminal]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// The command line. What an option takes if left open stands in `config/defaults.toml` alone; this
/// puts it into the help.
pub(super) fn command() -> Command {
    Cli::command()
        .mut_subcommand("train", |train| with_defaults(train, |_| true, ""))
        .mut_subcommand("generate", |generate| {
            let advised = |id: &str| ["num_inference_steps", "guidance_scale"].contains(&id);
            with_defaults(generate, advised, "the model's advice, or ")
        })
}

/// Adds the defaults to the help of those options that `of` picks by name.
fn with_defaults(command: Command, of: fn(&str) -> bool, before: &'static str) -> Command {
    let defaults = toml::Table::try_from(TrainOptions::defaults());
    let defaults = defaults.expect("the defaults are read from TOML");
    command.mut_args(move |arg| {
        let id = arg.get_id().as_str();
        let (Some(value), Some(help)) = (defaults.get(id).filter(|_| of(id)), arg.get_help())
        else {
            return arg;
        };
        let value = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Float(number) if number.abs() < 1e-4 && *number != 0.0 => {
                format!("{number:e}")
            }
            toml::Value::Float(number) => number.to_string(),
            value => value.to_string(),
        };
        let help = format!("{help} [default: {before}{value}]");
        arg.help(help)
    })
}

/// Writes a shell's completion script to the terminal.
pub(super) fn completions(args: &CompletionsArgs) {
    clap_complete::generate(args.shell, &mut command(), "dvar", &mut io::stdout());
}

/// Writes the man pages.
pub(super) fn man(args: &ManArgs) -> Result<(), CliError> {
    match &args.folder {
        Some(folder) => {
            let written = std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(command(), folder));
            written.map_err(|error| CliError::write(folder, error))
        }
        None => Ok(clap_mangen::Man::new(command()).render(&mut io::stdout())?),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// `docs/options.md`, out of the flags of `dvar train`.
    fn options_page() -> String {
        let mut page = String::from(
            "# Options of `dvar train`\n\nA flag is also a key of a configuration file, with `_` for \
             `-`: `--train-batch-size 2` is `train_batch_size = 2`. Flags win over the file, the \
             file over a preset and the model's advice, those over the defaults.\n",
        );
        let mut train = command().find_subcommand("train").unwrap().clone();
        train.build();
        let mut headings: Vec<&str> = Vec::new();
        for heading in train.get_arguments().map(|arg| arg.get_help_heading().unwrap_or("Run")) {
            if !headings.contains(&heading) {
                headings.push(heading);
            }
        }
        // the second is a flag of builds with its feature alone
        let left_out = ["help", "tui"];
        for heading in headings {
            let _ = write!(page, "\n## {heading}\n\n| flag | what |\n|---|---|\n");
            let of = |arg: &&clap::Arg| arg.get_help_heading().unwrap_or("Run") == heading;
            for arg in train.get_arguments().filter(of) {
                let Some(flag) = arg.get_long().filter(|flag| !left_out.contains(flag)) else {
                    continue;
                };
                let takes = arg.get_action().takes_values();
                let value = arg.get_value_names().unwrap_or_default().first().filter(|_| takes);
                let value = value.map(|value| format!(" {value}")).unwrap_or_default();
                let help = arg.get_help().unwrap().to_string().replace('|', "\\|");
                let _ = writeln!(page, "| `--{flag}{value}` | {help} |");
            }
        }
        page
    }

    #[test]
    fn the_page_of_options_is_made_from_them() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md");
        let page = options_page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, page, "UPDATE_DOCS=1 cargo test --release options_is_made writes it");
    }

    #[test]
    fn the_help_tells_the_defaults_that_are_taken() {
        let help = |command: &str, id: &str| {
            let command = self::command().find_subcommand(command).unwrap().clone();
            let arg = command.get_arguments().find(|arg| arg.get_id() == id).unwrap().clone();
            arg.get_help().unwrap().to_string()
        };
        assert!(help("train", "window").ends_with("[default: 282]"));
        assert!(help("train", "adam_epsilon").ends_with("[default: 1e-8]"));
        assert!(
            help("generate", "guidance_scale").ends_with("[default: the model's advice, or 7.5]")
        );
        assert!(!help("generate", "seed").contains("advice"));
    }
}
