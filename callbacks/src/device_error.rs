//! What a device says when it fails, for people.

use std::fmt;

/// A device failed, which shows where a result is read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceError {
    cause: String,
    is_out_of_memory: bool,
    /// That there was no room for, where the report says how many.
    bytes: Option<u64>,
}

/// How cubecl 0.11.3 begins to say that memory is out; the number of bytes follows.
const NO_ROOM_FOR: [&str; 2] =
    ["out of device memory allocating ", "can't allocate buffer of size: "];

/// How wgpu 30 and NVIDIA's driver say it, which name no number.
const NO_ROOM: [&str; 2] = ["wgpu error: Out of Memory", "CUDA_ERROR_OUT_OF_MEMORY"];

/// How cubecl 0.11.3 hands on a panic that it caught.
const PANICKED: &str = "CallError(task panicked on device runner thread: ";

impl DeviceError {
    /// Takes the innermost cause out of burn's report, without its backtrace and the source of a
    /// kernel that did not compile. Only the report's words tell that memory is out.
    pub fn new(report: impl fmt::Display) -> Self {
        let report = report.to_string();
        let bytes = NO_ROOM_FOR.iter().find_map(|words| {
            let (_, rest) = report.split_once(words)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        });
        let is_out_of_memory =
            bytes.is_some() || NO_ROOM.iter().any(|words| report.contains(words));
        let ends = ["\nBacktrace", "\nNo backtrace", "\n[Source]"];
        let end = ends.iter().filter_map(|end| report.find(end)).min();
        let said = &report[..end.unwrap_or(report.len())];
        // a panic that met another one: the first is what happened
        let said = said
            .rsplit_once(PANICKED)
            .map_or(said, |(_, first)| first.strip_suffix(')').unwrap_or(first));
        let cause = said.rsplit("Caused by:").find(|cause| !cause.trim().is_empty());
        let cause = cause.unwrap_or(said).split_whitespace().collect::<Vec<_>>().join(" ");
        Self { cause, is_out_of_memory, bytes }
    }

    /// What went wrong, on one line.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Whether the device's memory was too small.
    pub fn is_out_of_memory(&self) -> bool {
        self.is_out_of_memory
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            Some(bytes) => write!(f, "the device has no memory for {bytes} bytes more"),
            None if self.is_out_of_memory => f.write_str("the device has no memory left"),
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
        let told = |report: &str| {
            let error = DeviceError::new(report);
            (error.is_out_of_memory(), error.to_string())
        };
        let without = |bytes| (true, format!("the device has no memory for {bytes} bytes more"));
        let report = "Several failures at once\nCaused by:\n  An IO error happened\n  \
            can't allocate buffer of size: 629145600\nNo backtrace available";
        assert_eq!(told(report), without(629_145_600));
        assert_eq!(told("out of device memory allocating 512 bytes\n"), without(512));
        let full = (true, "the device has no memory left".to_string());
        // wgpu panics
        let report = "Can't have an error when submitting a task: CallError(task panicked on device \
            runner thread: wgpu error: Out of Memory)";
        assert_eq!(told(report), full);
        let report = "called `Result::unwrap()` on an `Err` value: \
            DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        assert_eq!(told(report), full);
        let lost = told("the device was lost");
        assert_eq!(lost, (false, "the device failed: the device was lost".into()));
    }
}
