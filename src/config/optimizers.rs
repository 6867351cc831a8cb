//! The optimisers that `--optimizer` names, and which options each reads.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    ConfigError, OptimizerOptions,
    range::{decay, not_negative, positive, set},
};
use crate::optim::{AdamWConfig, OptimizerConfig, SamConfig};

/// The optimisers, in the order in which users are told of them.
static OPTIMIZERS: [OptimizerKind; 2] = [
    OptimizerKind(&OptimizerSpec {
        name: "adamw",
        about: "AdamW",
        settings: |o| {
            Ok(Arc::new(AdamWConfig {
                beta1: decay("adam_beta1", o.adam_beta1)?,
                beta2: decay("adam_beta2", o.adam_beta2)?,
                epsilon: positive("adam_epsilon", o.adam_epsilon)?,
                weight_decay: not_negative("adam_weight_decay", o.adam_weight_decay)?,
            }))
        },
    }),
    OptimizerKind(&OptimizerSpec {
        name: "sam",
        about: "Sharpness-aware minimisation around SGD with momentum",
        settings: |o| {
            Ok(Arc::new(SamConfig {
                rho: not_negative("sam_rho", o.sam_rho)?,
                adaptive: set("sam_adaptive", o.sam_adaptive),
                momentum: decay("sam_momentum", o.sam_momentum)?,
            }))
        },
    }),
];

/// An entry of the list.
struct OptimizerSpec {
    name: &'static str,
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "for the help of the program"))]
    about: &'static str,
    /// Reads its options.
    settings: fn(&OptimizerOptions) -> Result<Arc<dyn OptimizerConfig>, ConfigError>,
}

/// Which optimiser; as text, the name that users type.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OptimizerKind(&'static OptimizerSpec);

impl OptimizerKind {
    /// The optimisers in the list.
    pub fn all() -> &'static [Self] {
        &OPTIMIZERS
    }

    /// The name that users type, such as `adamw`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Its settings, from the options of a run.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if one is missing or out of range.
    pub(super) fn settings(
        self,
        options: &OptimizerOptions,
    ) -> Result<Arc<dyn OptimizerConfig>, ConfigError> {
        (self.0.settings)(options)
    }
}

impl PartialEq for OptimizerKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for OptimizerKind {}

impl fmt::Debug for OptimizerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OptimizerKind").field(&self.name()).finish()
    }
}

impl fmt::Display for OptimizerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is none of the [`OptimizerKind`]s'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the optimizer `{name}` is not known; use one of {known}")]
pub struct UnknownOptimizer {
    name: String,
    /// Each in backticks.
    known: String,
}

impl FromStr for OptimizerKind {
    type Err = UnknownOptimizer;

    fn from_str(name: &str) -> Result<Self, UnknownOptimizer> {
        OPTIMIZERS.iter().find(|kind| kind.name() == name).copied().ok_or_else(|| {
            let known = OPTIMIZERS.each_ref().map(|kind| format!("`{kind}`")).join(", ");
            UnknownOptimizer { name: name.into(), known }
        })
    }
}

impl TryFrom<String> for OptimizerKind {
    type Error = UnknownOptimizer;

    fn try_from(name: String) -> Result<Self, UnknownOptimizer> {
        name.parse()
    }
}

impl From<OptimizerKind> for String {
    fn from(kind: OptimizerKind) -> Self {
        kind.name().into()
    }
}

#[cfg(feature = "cli")]
impl clap::ValueEnum for OptimizerKind {
    fn value_variants<'a>() -> &'a [Self] {
        &OPTIMIZERS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()).help(self.0.about))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_print_and_serialize_alike() {
        for kind in OptimizerKind::all() {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
            let saved = serde_json::to_value(kind).unwrap();
            assert_eq!(saved, kind.name());
            assert_eq!(serde_json::from_value::<OptimizerKind>(saved).unwrap(), *kind);
        }
    }

    #[test]
    fn each_setting_is_that_of_the_option_of_its_name() {
        let options = OptimizerOptions {
            adam_beta1: Some(0.1),
            adam_beta2: Some(0.2),
            adam_epsilon: Some(0.3),
            adam_weight_decay: Some(0.4),
            sam_rho: Some(0.5),
            sam_adaptive: Some(true),
            sam_momentum: Some(0.6),
            ..OptimizerOptions::default()
        };
        let adamw = AdamWConfig { beta1: 0.1, beta2: 0.2, epsilon: 0.3, weight_decay: 0.4 };
        let sam = SamConfig { rho: 0.5, adaptive: true, momentum: 0.6 };
        for (name, wanted) in [("adamw", format!("{adamw:?}")), ("sam", format!("{sam:?}"))] {
            let kind: OptimizerKind = name.parse().unwrap();
            assert_eq!(format!("{:?}", kind.settings(&options).unwrap()), wanted);
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        assert_eq!(
            "adam".parse::<OptimizerKind>().unwrap_err().to_string(),
            "the optimizer `adam` is not known; use one of `adamw`, `sam`"
        );
    }
}
