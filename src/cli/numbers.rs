//! Numbers on the command line.

use std::{
    error::Error,
    num::{IntErrorKind, ParseFloatError, ParseIntError},
};

use clap::{
    Command,
    error::{ContextKind, ErrorKind},
};

/// A negative number after a flag is its value, which is refused with what it may be.
pub(super) fn with_negative_numbers(command: Command) -> Command {
    command.mut_subcommands(|command| {
        command.mut_args(|arg| {
            let takes_value = !arg.is_positional() && arg.get_action().takes_values();
            arg.allow_negative_numbers(takes_value)
        })
    })
}

/// What clap refuses; of a number with what it may be, in place of Rust's reason why it is none.
pub(super) fn in_words(error: clap::Error, command: &Command) -> clap::Error {
    match message(&error) {
        Some(message) => clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command),
        None => error,
    }
}

fn message(error: &clap::Error) -> Option<String> {
    let expected = expected(error.source()?)?;
    let arg = error.get(ContextKind::InvalidArg)?;
    let value = error.get(ContextKind::InvalidValue)?;
    Some(format!(
        "invalid value '{value}' for '{arg}': {expected}\n\nFor more information, try '--help'.\n"
    ))
}

fn expected(reason: &(dyn Error + 'static)) -> Option<String> {
    if reason.is::<ParseFloatError>() {
        return Some("expected a number".into());
    }
    if let Some(reason) = reason.downcast_ref::<ParseIntError>() {
        let expected = match reason.kind() {
            IntErrorKind::PosOverflow => "the number is too large",
            IntErrorKind::Zero => "expected a whole number, 1 or more",
            // the least of many options is 1, which is checked later
            _ => "expected a whole number that is not negative",
        };
        return Some(expected.into());
    }
    // as clap says it
    let reason = reason.to_string();
    let (low, high) = reason.split_once(" is not in ")?.1.split_once("..=")?;
    Some(format!("expected a whole number from {low} to {high}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn a_negative_number_is_the_value_of_the_flag_before_it() {
        let line = ["dvar", "train", "cat", "--flip", "-1"];
        let matches = command().try_get_matches_from(line).unwrap();
        let (_, train) = matches.subcommand().unwrap();
        assert_eq!(train.get_one::<f64>("flip"), Some(&-1.0));
    }

    #[test]
    fn what_is_no_number_is_refused_with_what_it_may_be() {
        for (flag, value, told) in [
            ("--max-train-steps", "1e3", " <N>': expected a whole number that is not negative\n"),
            ("--seed", "-1", " <N>': expected a whole number that is not negative\n"),
            ("--seed", "18446744073709551615", ": expected a whole number from 0 to 922"),
            ("--window", "99999999999999999999", ": the number is too large\n"),
            ("--learning-rate", "5e-3x", " <RATE>': expected a number\n"),
            // what is no number is told as before
            ("--crop", "centre", "a similar value exists: 'center'"),
        ] {
            let mut command = command();
            let line = ["dvar", "train", flag, value];
            let error = command.try_get_matches_from_mut(line).unwrap_err();
            let said = in_words(error, &command).to_string();
            assert!(said.starts_with(&format!("error: invalid value '{value}' for ")), "{said}");
            assert!(said.contains(told), "{said}");
            assert!(said.ends_with("\n\nFor more information, try '--help'.\n"), "{said}");
        }
    }
}
