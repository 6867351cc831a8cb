//! The noise that training adds at each timestep, by the shape of its betas.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::error::SchedulerError;

/// The shape of the betas over the training timesteps, by diffusers' names.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Evenly from `beta_start` to `beta_end`.
    Linear,
    /// Evenly in the square root: the schedule of latent diffusion.
    ScaledLinear,
    /// A squared cosine for the cumulative product (<https://arxiv.org/abs/2102.09672>).
    #[serde(rename = "squaredcos_cap_v2")]
    SquaredcosCapV2,
}

impl BetaSchedule {
    const ALL: [Self; 3] = [Self::Linear, Self::ScaledLinear, Self::SquaredcosCapV2];

    /// The name: `linear`, `scaled_linear` or `squaredcos_cap_v2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::ScaledLinear => "scaled_linear",
            Self::SquaredcosCapV2 => "squaredcos_cap_v2",
        }
    }

    fn names() -> String {
        Self::ALL.map(|schedule| format!("`{}`", schedule.name())).join(", ")
    }

    pub(super) fn betas(self, start: f64, end: f64, count: usize) -> Vec<f32> {
        match self {
            Self::Linear => linspace(start, end, count),
            Self::ScaledLinear => linspace(start.sqrt(), end.sqrt(), count)
                .into_iter()
                .map(|root| root * root)
                .collect(),
            Self::SquaredcosCapV2 => {
                let alpha_bar = |step: usize| {
                    let time = step as f64 / count as f64;
                    ((time + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2)
                };
                (0..count)
                    .map(|step| (1.0 - alpha_bar(step + 1) / alpha_bar(step)).min(0.999) as f32)
                    .collect()
            }
        }
    }
}

impl fmt::Display for BetaSchedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for BetaSchedule {
    type Err = SchedulerError;

    fn from_str(name: &str) -> Result<Self, SchedulerError> {
        (Self::ALL.into_iter().find(|schedule| schedule.name() == name)).ok_or_else(|| {
            SchedulerError::UnknownBetaSchedule { name: name.into(), known: Self::names() }
        })
    }
}

/// torch's `linspace` in f32: counted from the nearer end.
fn linspace(start: f64, end: f64, count: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    if count == 1 {
        return vec![start];
    }
    let step = (end - start) / (count - 1) as f32;
    (0..count)
        .map(|index| {
            if index < count / 2 {
                start + step * index as f32
            } else {
                end - step * (count - 1 - index) as f32
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_print_and_serialize_alike() {
        for schedule in BetaSchedule::ALL {
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
            assert_eq!(serde_json::to_value(schedule).unwrap(), schedule.name());
        }
        assert_eq!(
            "cosine".parse::<BetaSchedule>().unwrap_err().to_string(),
            "the beta schedule `cosine` is not known; use one of `linear`, `scaled_linear`, \
             `squaredcos_cap_v2`"
        );
    }

    #[test]
    fn a_single_training_timestep_has_the_first_beta() {
        assert_eq!(BetaSchedule::Linear.betas(0.25, 0.5, 1), [0.25]);
    }
}
