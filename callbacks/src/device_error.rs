//! What a device says when it fails, for people.

use std::fmt;

/// A device failed, which shows where a result is read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceError {
    cause: String,
    out_of_memory: Option<u64>,
}

/// How cubecl 0.11.3 begins to say that memory is out; the number of bytes follows.
const OUT_OF_MEMORY: [&str; 2] =
    ["out of device memory allocating ", "can't allocate buffer of size: "];

/// How cubecl 0.11.3 hands on a panic that it caught.
const PANICKED: &str = "CallError(task panicked on device runner thread: ";

impl DeviceError {
    /// Takes the innermost cause out of burn's report, without its backtrace and the source of a
    /// kernel that did not compile. Only the report's words tell that memory is out.
    pub fn new(report: impl fmt::Display) -> Self {
        let report = report.to_string();
        let out_of_memory = OUT_OF_MEMORY.iter().find_map(|words| {
            let (_, rest) = report.split_once(words)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        });
        let ends = ["\nBacktrace", "\nNo backtrace", "\n[Source]"];
        let end = ends.iter().filter_map(|end| report.find(end)).min();
        let said = &report[..end.unwrap_or(report.len())];
        // a panic that met another one: the first is what happened
        let said = said
            .rsplit_once(PANICKED)
            .map_or(said, |(_, first)| first.strip_suffix(')').unwrap_or(first));
        let cause = said.rsplit("Caused by:").find(|cause| !cause.trim().is_empty());
        let cause = cause.unwrap_or(said).split_whitespace().collect::<Vec<_>>().join(" ");
        Self { cause, out_of_memory }
    }

    /// What went wrong, on one line.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// The bytes that the device has no room for, where that is what went wrong.
    pub fn out_of_memory(&self) -> Option<u64> {
        self.out_of_memory
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.out_of_memory {
            Some(bytes) => write!(f, "the device has no memory for {bytes} bytes more"),
            None => write!(f, "the device failed: {}", self.cause),
        }
    }
}

impl std::error::Error for DeviceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_its_cause_on_one_line() {
        let report = "An error happened during execution\nCaused by:\n  An error happened\n\
            Caused by:\n  the staging buffer could not be mapped:\n  Error occurred\nBacktrace:\n\
            No backtrace available";
        let cause = |report: &str| DeviceError::new(report).cause().to_string();
        assert_eq!(cause(report), "the staging buffer could not be mapped: Error occurred");
        assert_eq!(cause("the device was lost"), "the device was lost");
        let kernel = "it does not compile: no header\n[Source]\nextern void kernel()";
        assert_eq!(cause(kernel), "it does not compile: no header");
        assert_eq!(cause("no room\nNo backtrace available"), "no room");
        assert_eq!(cause("it failed\nCaused by:\n"), "it failed");
        let twice = "Can't have an error when submitting a task: CallError(task panicked on device \
            runner thread: no kernel (none))";
        assert_eq!(cause(twice), "no kernel (none)");
    }

    #[test]
    fn a_device_without_memory_is_told_from_a_broken_one() {
        let report = "Several failures at once\nCaused by:\n  An IO error happened\n  \
            can't allocate buffer of size: 629145600\nNo backtrace available";
        assert_eq!(DeviceError::new(report).out_of_memory(), Some(629_145_600));
        let report = "out of device memory allocating 512 bytes\n";
        assert_eq!(DeviceError::new(report).out_of_memory(), Some(512));
        assert_eq!(DeviceError::new("the device was lost").out_of_memory(), None);
    }
}
