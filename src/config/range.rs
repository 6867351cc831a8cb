//! Checks of single options.

use super::ConfigError;

pub(super) fn required<T>(
    option: &'static str,
    value: Option<T>,
    expected: &'static str,
) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing { option, expected })
}

/// An option that has a default, laid over the defaults.
///
/// # Panics
///
/// If `defaults.toml` lacks it.
pub(super) fn set<T>(option: &'static str, value: Option<T>) -> T {
    value.unwrap_or_else(|| panic!("`defaults.toml` sets `{option}`"))
}

pub(super) fn out_of_range(
    option: &'static str,
    value: impl ToString,
    expected: &'static str,
) -> ConfigError {
    ConfigError::OutOfRange { option, value: value.to_string(), expected }
}

pub(super) fn within(
    option: &'static str,
    value: Option<usize>,
    range: std::ops::RangeInclusive<usize>,
    expected: &'static str,
) -> Result<usize, ConfigError> {
    let value = set(option, value);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(out_of_range(option, value, expected))
}

pub(super) fn count(option: &'static str, value: Option<usize>) -> Result<usize, ConfigError> {
    within(option, value, 1..=100_000_000, "from 1 to 100000000")
}

/// Inputs or rounds: enough for any study, too few to ask for all memory.
pub(super) fn batch(option: &'static str, value: Option<usize>) -> Result<usize, ConfigError> {
    within(option, value, 1..=1024, "from 1 to 1024")
}

pub(super) fn number(
    option: &'static str,
    value: Option<f64>,
    ok: impl Fn(f64) -> bool,
    expected: &'static str,
) -> Result<f64, ConfigError> {
    let value = set(option, value);
    if value.is_finite() && ok(value) {
        return Ok(value);
    }
    Err(out_of_range(option, value, expected))
}

pub(super) fn positive(option: &'static str, value: Option<f64>) -> Result<f64, ConfigError> {
    number(option, value, |value| value > 0.0, "a number above 0")
}

pub(super) fn not_negative(option: &'static str, value: Option<f64>) -> Result<f64, ConfigError> {
    number(option, value, |value| value >= 0.0, "a number from 0 on")
}

pub(super) fn share(option: &'static str, value: Option<f64>) -> Result<f64, ConfigError> {
    number(option, value, |value| (0.0..=1.0).contains(&value), "from 0 to 1")
}

pub(super) fn decay(option: &'static str, value: Option<f64>) -> Result<f64, ConfigError> {
    number(option, value, |value| (0.0..1.0).contains(&value), "from 0 to below 1")
}
