//! The `dvar` program.

use std::process::ExitCode;

use dvar::cli::{CliError, parse, run};

fn main() -> ExitCode {
    match parse(std::env::args_os()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CliError::Interrupted) {
                eprintln!("error: {error}");
            }
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            error.exit_code().into()
        }
    }
}
