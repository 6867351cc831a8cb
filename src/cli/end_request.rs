//! Ctrl-C, SIGTERM and a terminal that is closed: what asks a command to end.

use std::time::{Duration, Instant};

use super::CliError;

/// A request that comes so soon after another is the same one: when a terminal is closed, the shell tells
/// its commands, and then the system does.
const SAME: Duration = Duration::from_secs(1);

/// Calls `asked` each time that the user or the system asks for the end. A terminal that is
/// closed asks no command that `nohup` started: where SIGHUP was ignored, it stays so.
pub(super) fn on_end_request(mut asked: impl FnMut() + Send + 'static) -> Result<(), CliError> {
    #[cfg(unix)]
    let before = at_hangup(libc::SIG_IGN);
    let mut last: Option<Instant> = None;
    ctrlc::set_handler(move || {
        if last.is_none_or(|last| last.elapsed() >= SAME) {
            last = Some(Instant::now());
            asked();
        }
    })?;
    #[cfg(unix)]
    if before == libc::SIG_IGN {
        at_hangup(before);
    }
    Ok(())
}

/// Says what the system does at SIGHUP; gives what it did.
#[cfg(unix)]
#[allow(unsafe_code)]
fn at_hangup(action: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: the action is to ignore it, which is no function of this program.
    unsafe { libc::signal(libc::SIGHUP, action) }
}
