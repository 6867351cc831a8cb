//! `docs/options.md`, made from the flags of all commands.

use std::{any::TypeId, fmt::Write, num::NonZeroUsize, path::PathBuf};

use clap::{Arg, Command};

use super::distinct::distinct;
use crate::eval::EvaluationSwitches;

const INTRODUCTION: &str = "# Options

All options of all commands; `dvar COMMAND --help` shows the same in the terminal. An option of `dvar \
train` is also a key of a configuration file, with `_` for `-`: `--train-batch-size 2` is \
`train_batch_size = 2`. Only `FOLDER`, `--preset`, `--config`, `--resume` and `--device` are for the \
command line alone. Flags win over the file, the file over a preset, a preset over the model's \
[advice](presets.md#what-a-model-advises), and that over the defaults. What stands in brackets may be \
left out: `--captions` is `--captions=true`, and only behind a `=` can it be `false`.
";

/// Flags of builds with a feature that the default build lacks, and those that every command has.
const LEFT_OUT: [&str; 3] = ["help", "version", "tui"];

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut all = super::command();
    all.build();
    for command in all.get_subcommands().filter(|command| command.get_name() != "help") {
        let about = command.get_about().unwrap_or_default();
        let _ = write!(page, "\n## `dvar {}`\n\n{about}.\n", command.get_name());
        for heading in headings(command) {
            if let Some(heading) = heading {
                let _ = write!(page, "\n### {heading}\n");
            }
            page += "\n| option | value | default | meaning |\n|---|---|---|---|\n";
            for arg in shown(command).filter(|arg| heading_of(command, arg) == heading) {
                let cells = [name(arg), value(arg), default(arg), meaning(arg)];
                let cells = cells.map(|cell| cell.replace('|', "\\|"));
                let _ = writeln!(page, "| {} |", cells.join(" | "));
            }
        }
    }
    page
}

fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !LEFT_OUT.contains(&arg.get_id().as_str()))
}

/// The headings that a command's help has; none where it has only one group.
fn headings(command: &Command) -> Vec<Option<&str>> {
    distinct(shown(command).map(|arg| heading_of(command, arg)))
}

fn heading_of<'a>(command: &'a Command, arg: &'a Arg) -> Option<&'a str> {
    let grouped = shown(command).any(|arg| arg.get_help_heading().is_some());
    arg.get_help_heading().or(grouped.then_some("Run"))
}

/// An option as it is typed, and what else it is called.
fn name(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default();
    let value = values.first().filter(|_| arg.get_action().takes_values());
    let may_lack = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
    let name = match (arg.get_long(), value) {
        (Some(flag), Some(value)) if arg.is_require_equals_set() => format!("`--{flag}[={value}]`"),
        (Some(flag), Some(value)) if may_lack => format!("`--{flag} [{value}]`"),
        (Some(flag), Some(value)) => format!("`--{flag} {value}`"),
        (Some(flag), None) => format!("`--{flag}`"),
        (None, _) => format!("`{}`", value.expect("a place on the command line has a name")),
    };
    let short = arg.get_short().map(|letter| format!("`-{letter}`"));
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    let others = short.into_iter().chain(aliases.into_iter().map(|alias| format!("`--{alias}`")));
    [name].into_iter().chain(others).collect::<Vec<_>>().join(", ")
}

/// What may be given.
fn value(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return "none".into();
    }
    let named: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !named.is_empty() {
        return named.join(", ");
    }
    let parsed = arg.get_value_parser().type_id();
    let types = [
        (TypeId::of::<usize>(), "whole number"),
        (TypeId::of::<u64>(), "whole number"),
        (TypeId::of::<NonZeroUsize>(), "whole number from 1"),
        (TypeId::of::<f64>(), "number"),
        (TypeId::of::<PathBuf>(), "path"),
        (TypeId::of::<String>(), "text"),
        (TypeId::of::<EvaluationSwitches>(), "five digits, each 0 or 1"),
    ];
    let known = types.iter().find(|(id, _)| parsed == *id).map(|(_, name)| *name);
    // the rest are names, which the meaning lists
    known.unwrap_or("name").into()
}

fn default(arg: &Arg) -> String {
    let told = help(arg).1;
    let given: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    match (told, given.concat()) {
        _ if arg.is_required_set() => "must be given".into(),
        (Some(told), _) => told,
        (None, _) if !arg.get_action().takes_values() => "off".into(),
        (None, given) if given.is_empty() => "none".into(),
        (None, given) => given,
    }
}

fn meaning(arg: &Arg) -> String {
    help(arg).0
}

/// The help's text and the default at its end.
fn help(arg: &Arg) -> (String, Option<String>) {
    let help = arg.get_help().expect("every option has a help").to_string();
    match help.strip_suffix(']').and_then(|help| help.split_once(" [default: ")) {
        Some((text, default)) => (text.into(), Some(default.into())),
        None => (help, None),
    }
}

#[test]
fn the_page_of_options_is_made_from_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, page, "UPDATE_DOCS=1 cargo test --release options_is_made writes it");
}

#[test]
fn what_may_be_left_out_of_an_option_stands_in_brackets() {
    let page = page();
    for row in ["| `--captions[=BOOL]` |", "| `--warm [MODEL]` |", "| `--output-dir DIR`, `-o` |"] {
        assert!(page.contains(row), "{row}");
    }
    let parses =
        |line: &[&str]| super::command().try_get_matches_from(line.iter().copied()).is_ok();
    assert!(parses(&["dvar", "train", "cat", "--captions", "--flip", "0"]));
    assert!(parses(&["dvar", "train", "cat", "--captions=false"]));
    assert!(!parses(&["dvar", "train", "cat", "--captions", "false"]));
}
