//! The command line with its defaults in the help, for the terminal, shells, man pages and
//! `docs/options.md`.

use std::path::PathBuf;

use clap::Command;

use super::CliError;
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

/// The command line with what an option takes if left open, which stands in `config/defaults.toml`
/// alone, in its help.
pub(super) fn with_help(command: Command) -> Command {
    let advised = |id: &str| ["num_inference_steps", "guidance_scale"].contains(&id);
    command.mut_subcommands(|command| match command.get_name() {
        "train" => with_defaults(command, |_| true, ""),
        "generate" => with_defaults(command, advised, "the model's advice, or "),
        _ => command,
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
pub(super) fn completions(args: &CompletionsArgs, mut command: Command) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "dvar", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
}

/// Writes the man pages.
pub(super) fn man(args: &ManArgs, command: Command) -> Result<(), CliError> {
    match &args.folder {
        Some(folder) => {
            let written = std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(command, folder));
            written.map_err(|error| CliError::write(folder, error))
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            print!("{}", String::from_utf8_lossy(&page));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::command;

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
