use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::SchedulerError;

/// The sampling methods, by the names users type.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchedulerKind {
    /// Pseudo numerical methods, <https://arxiv.org/abs/2202.09778>: `PNDMScheduler`.
    Pndm,
    /// Denoising diffusion implicit models, <https://arxiv.org/abs/2010.02502>: `DDIMScheduler`.
    Ddim,
    /// Ancestral sampling, <https://arxiv.org/abs/2006.11239>: `DDPMScheduler`.
    Ddpm,
    /// Euler's method, <https://arxiv.org/abs/2206.00364>: `EulerDiscreteScheduler`.
    Euler,
    /// The linear multistep method of k-diffusion: `LMSDiscreteScheduler`.
    Lms,
    /// DPM-Solver++ 2M, <https://arxiv.org/abs/2211.01095>: `DPMSolverMultistepScheduler`.
    #[serde(rename = "dpm++")]
    DpmSolverPlusPlus,
}

impl SchedulerKind {
    /// All kinds, in the order they are listed to users.
    pub const ALL: [Self; 6] =
        [Self::Pndm, Self::Ddim, Self::Ddpm, Self::Euler, Self::Lms, Self::DpmSolverPlusPlus];

    /// The name: `pndm`, `ddim`, `ddpm`, `euler`, `lms` or `dpm++`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pndm => "pndm",
            Self::Ddim => "ddim",
            Self::Ddpm => "ddpm",
            Self::Euler => "euler",
            Self::Lms => "lms",
            Self::DpmSolverPlusPlus => "dpm++",
        }
    }

    pub(super) fn class_name(self) -> &'static str {
        match self {
            Self::Pndm => "PNDMScheduler",
            Self::Ddim => "DDIMScheduler",
            Self::Ddpm => "DDPMScheduler",
            Self::Euler => "EulerDiscreteScheduler",
            Self::Lms => "LMSDiscreteScheduler",
            Self::DpmSolverPlusPlus => "DPMSolverMultistepScheduler",
        }
    }

    pub(super) fn from_class_name(class_name: &str) -> Result<Self, SchedulerError> {
        (Self::ALL.into_iter().find(|kind| kind.class_name() == class_name))
            .ok_or_else(|| SchedulerError::UnknownClass(class_name.into()))
    }

    pub(super) fn names() -> String {
        Self::ALL.map(|kind| format!("`{}`", kind.name())).join(", ")
    }

    pub(super) fn class_names() -> String {
        Self::ALL.map(|kind| format!("`{}`", kind.class_name())).join(", ")
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
        (Self::ALL.into_iter().find(|kind| kind.name() == name))
            .ok_or_else(|| SchedulerError::UnknownKind(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_print_and_serialize_alike() {
        for kind in SchedulerKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(SchedulerKind::from_class_name(kind.class_name()), Ok(kind));
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        assert_eq!(
            "plms".parse::<SchedulerKind>().unwrap_err().to_string(),
            "the scheduler `plms` is not known; use one of `pndm`, `ddim`, `ddpm`, `euler`, \
             `lms`, `dpm++`"
        );
    }
}
