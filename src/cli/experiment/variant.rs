//! A variant of a grid: its options, and where its steps come from.

use serde::Deserialize;

use crate::config::TrainOptions;

/// One variant: a name, perhaps where its steps come from, and options beside them.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Table")]
pub(super) struct Variant {
    pub name: String,
    pub steps_from: Option<StepsFrom>,
    /// These win over the concept's, which win over those of all runs.
    pub options: TrainOptions,
}

/// The paper's "few iterations": as many steps as another variant took over all concepts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepsFrom {
    pub variant: String,
    pub statistic: Statistic,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Statistic {
    Max,
    /// Rounded.
    Mean,
}

impl TryFrom<toml::Table> for Variant {
    type Error = toml::de::Error;

    fn try_from(mut table: toml::Table) -> Result<Self, toml::de::Error> {
        #[derive(Deserialize)]
        struct Own {
            name: String,
            steps_from: Option<StepsFrom>,
        }
        let Own { name, steps_from } = table.clone().try_into()?;
        table.remove("name");
        table.remove("steps_from");
        Ok(Self { name, steps_from, options: table.try_into()? })
    }
}

impl Statistic {
    /// Of at least one number.
    pub(super) fn of(self, steps: &[usize]) -> usize {
        match self {
            Self::Max => steps.iter().copied().max().unwrap_or(1),
            Self::Mean => {
                let mean = steps.iter().sum::<usize>() as f64 / steps.len() as f64;
                mean.round().max(1.0) as usize
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Max => "largest",
            Self::Mean => "mean",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_rounded() {
        assert_eq!(Statistic::Mean.of(&[3, 4, 4]), 4);
        assert_eq!(Statistic::Mean.of(&[3, 3, 4]), 3);
        assert_eq!(Statistic::Max.of(&[3, 9, 4]), 9);
    }
}
