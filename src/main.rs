//! The `dvar` program.

use std::process::ExitCode;

use dvar::cli::{CliError, complain, parse, run};

fn main() -> ExitCode {
    end_at_a_closed_pipe();
    keep_freed_memory();
    match parse(std::env::args_os()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CliError::Interrupted) {
                complain(format_args!("error: {error}"));
            }
            if let Some(hint) = error.hint() {
                complain(format_args!("hint: {hint}"));
            }
            error.exit_code().into()
        }
    }
}

/// Ends as other programs do where nobody reads on, as in `dvar info FILE | head -1`: Rust ignores the
/// signal, and the next `println!` would panic.
#[cfg(unix)]
#[allow(unsafe_code)]
fn end_at_a_closed_pipe() {
    // SAFETY: the default action is no function of this program.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

#[cfg(not(unix))]
fn end_at_a_closed_pipe() {}

/// A layer's output is given back and asked for again at once. glibc hands what is freed at its end back
/// to the system and gets it cleared page by page: 6 % of a step's time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn keep_freed_memory() {
    const MEBI: i32 = 1 << 20;
    // SAFETY: `mallopt` is safe to call before other threads run, and ignores what it does not know.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 * MEBI);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 * MEBI);
        libc::mallopt(libc::M_TOP_PAD, 16 * MEBI);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}
