//! What a device says when it fails, for people.

use std::fmt::Display;

/// A device's error on one line: the innermost cause of the report that burn gives, without its
/// backtrace and the source of a kernel that did not compile.
pub(crate) fn device_failure(error: &impl Display) -> String {
    let told = error.to_string();
    let ends = ["\nBacktrace", "\nNo backtrace", "\n[Source]"];
    let end = ends.iter().filter_map(|end| told.find(end)).min();
    let said = &told[..end.unwrap_or(told.len())];
    let cause = said.rsplit("Caused by:").find(|cause| !cause.trim().is_empty());
    cause.unwrap_or(said).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_its_cause_on_one_line() {
        let report = "An error happened during execution\nCaused by:\n  An error happened\n\
            Caused by:\n  the staging buffer could not be mapped:\n  Error occurred\nBacktrace:\n\
            No backtrace available";
        assert_eq!(
            device_failure(&report),
            "the staging buffer could not be mapped: Error occurred"
        );
        assert_eq!(device_failure(&"the device was lost"), "the device was lost");
        let kernel = "it does not compile: no header\n[Source]\nextern void kernel()";
        assert_eq!(device_failure(&kernel), "it does not compile: no header");
        assert_eq!(device_failure(&"no room\nNo backtrace available"), "no room");
        assert_eq!(device_failure(&"it failed\nCaused by:\n"), "it failed");
    }
}
