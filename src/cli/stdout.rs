//! What commands say: on stdout, which may be a file on a full disk, and on stderr.

use std::{
    fmt,
    io::{self, Write},
    sync::OnceLock,
};

use super::CliError;

static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Writes to stdout. Where that fails the command goes on: what it makes may matter more than what it
/// says.
pub(super) fn write(text: fmt::Arguments<'_>) {
    keep_failure(io::stdout().write_all(plain(text).as_bytes()));
}

/// Writes a line to stderr. Where that cannot be written to, there is nobody to tell.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", plain(text));
}

/// A text without control characters: names in files of others are told, and a terminal would obey them.
fn plain(text: fmt::Arguments<'_>) -> String {
    let control = |c: char| c.is_control() && !['\n', '\t'].contains(&c);
    text.to_string().replace("\r\n", "\n").replace(control, "\u{fffd}")
}

/// An error if anything that was said is lost.
pub(super) fn check() -> Result<(), CliError> {
    keep_failure(io::stdout().flush());
    match FAILURE.get() {
        Some(error) => Err(CliError::Failed(format!("cannot write to stdout: {error}"))),
        None => Ok(()),
    }
}

fn keep_failure(written: io::Result<()>) {
    if let Err(error) = written {
        // as in `dvar info FILE | more`; elsewhere than on Windows that ends the program
        if error.kind() == io::ErrorKind::BrokenPipe {
            return;
        }
        // the first one is kept, which the others follow from
        let _ = FAILURE.set(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_does_not_read_on_is_no_failure() {
        keep_failure(Err(io::ErrorKind::BrokenPipe.into()));
        check().unwrap();
    }
}
