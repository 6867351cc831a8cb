//! The `dvar` program.

use std::process::ExitCode;

use clap::Parser;
use dvar::cli::{Cli, CliError, run};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CliError::Interrupted) {
                eprintln!("error: {error}");
            }
            error.exit_code()
        }
    }
}
