//! Which sampler, by its name.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{error::SchedulerError, samplers::SAMPLERS, spec::SchedulerSpec};

/// Which sampler. As text it is the name that users type; only the samplers in this crate's list
/// have one that can be read.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchedulerKind(&'static SchedulerSpec);

impl SchedulerKind {
    /// A sampler that is not in this crate's list.
    pub const fn new(spec: &'static SchedulerSpec) -> Self {
        Self(spec)
    }

    /// The samplers in this crate's list, in its order.
    pub fn all() -> impl Iterator<Item = Self> {
        SAMPLERS.iter().copied().map(Self)
    }

    /// The name that users type, such as `ddim`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The names of the samplers in the list: `pndm, ddim, ... or unipc`.
    pub fn names_in_words() -> String {
        let names: Vec<&str> = Self::all().map(Self::name).collect();
        match names.as_slice() {
            [before @ .., last] if !before.is_empty() => {
                format!("{} or {last}", before.join(", "))
            }
            names => names.concat(),
        }
    }

    pub(super) fn spec(self) -> &'static SchedulerSpec {
        self.0
    }

    pub(super) fn from_class_name(class_name: &str) -> Result<Self, SchedulerError> {
        Self::all().find(|kind| kind.0.class_name == class_name).ok_or_else(|| {
            SchedulerError::UnknownClass {
                class_name: class_name.into(),
                known: in_backticks(|spec| spec.class_name),
            }
        })
    }
}

fn in_backticks(name: fn(&SchedulerSpec) -> &'static str) -> String {
    let names: Vec<String> = SAMPLERS.iter().map(|spec| format!("`{}`", name(spec))).collect();
    names.join(", ")
}

impl PartialEq for SchedulerKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for SchedulerKind {}

impl Hash for SchedulerKind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for SchedulerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SchedulerKind").field(&self.name()).finish()
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for SchedulerKind {
    type Err = SchedulerError;

    fn from_str(name: &str) -> Result<Self, SchedulerError> {
        Self::all().find(|kind| kind.name() == name).ok_or_else(|| SchedulerError::UnknownKind {
            name: name.into(),
            known: in_backticks(|spec| spec.name),
        })
    }
}

impl TryFrom<String> for SchedulerKind {
    type Error = SchedulerError;

    fn try_from(name: String) -> Result<Self, SchedulerError> {
        name.parse()
    }
}

impl From<SchedulerKind> for String {
    fn from(kind: SchedulerKind) -> Self {
        kind.name().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_print_and_serialize_alike() {
        for kind in SchedulerKind::all() {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            let saved = serde_json::to_value(kind).unwrap();
            assert_eq!(saved, kind.name());
            assert_eq!(serde_json::from_value::<SchedulerKind>(saved).unwrap(), kind);
            assert_eq!(SchedulerKind::from_class_name(kind.spec().class_name), Ok(kind));
        }
    }

    #[test]
    fn no_two_samplers_share_a_name_or_a_class() {
        for (place, kind) in SchedulerKind::all().enumerate() {
            for other in SchedulerKind::all().skip(place + 1) {
                assert_ne!(kind, other);
                assert_ne!(kind.spec().class_name, other.spec().class_name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        assert_eq!(
            "plms".parse::<SchedulerKind>().unwrap_err().to_string(),
            "the scheduler `plms` is not known; use one of `pndm`, `ddim`, `ddpm`, `euler`, \
             `euler-a`, `lms`, `dpm++`, `deis`, `unipc`"
        );
        assert_eq!(
            SchedulerKind::names_in_words(),
            "pndm, ddim, ddpm, euler, euler-a, lms, dpm++, deis or unipc"
        );
    }
}
