//! Which training timesteps a sampling run visits (<https://arxiv.org/abs/2305.08891>, table 2).

use serde::Deserialize;

/// How the timesteps of sampling are spread over those of training.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum TimestepSpacing {
    /// From the last to the first, both visited.
    Linspace,
    /// Whole strides up from `steps_offset`; the last timestep is not visited.
    Leading,
    /// Whole strides down from the last; the first timestep is not visited.
    Trailing,
}

impl TimestepSpacing {
    /// `steps` timesteps below `num_train_timesteps`, descending; fractional for `Linspace`.
    ///
    /// The arithmetic is NumPy's, so that halves round to the same side.
    pub(super) fn timesteps(
        self,
        num_train_timesteps: usize,
        steps: usize,
        steps_offset: usize,
    ) -> Vec<f64> {
        let train = num_train_timesteps as f64;
        match self {
            Self::Linspace if steps == 1 => vec![0.0],
            Self::Linspace => {
                let stride = (train - 1.0) / (steps - 1) as f64;
                let inner = (0..steps - 1).map(|step| step as f64 * stride);
                inner.chain([train - 1.0]).rev().collect()
            }
            Self::Leading => {
                let stride = num_train_timesteps / steps;
                (0..steps).rev().map(|step| (step * stride) as f64 + steps_offset as f64).collect()
            }
            Self::Trailing => {
                let stride = (train - train / steps as f64) - train;
                (0..steps)
                    .map(|step| (train + step as f64 * stride).round_ties_even() - 1.0)
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spacing_visits_the_timesteps_of_the_papers_table() {
        let of = |spacing: TimestepSpacing| spacing.timesteps(1000, 4, 1);
        assert_eq!(of(TimestepSpacing::Linspace), [999.0, 666.0, 333.0, 0.0]);
        assert_eq!(of(TimestepSpacing::Leading), [751.0, 501.0, 251.0, 1.0]);
        assert_eq!(of(TimestepSpacing::Trailing), [999.0, 749.0, 499.0, 249.0]);
    }

    #[test]
    fn halves_round_to_even_as_in_numpy() {
        assert_eq!(TimestepSpacing::Trailing.timesteps(10, 4, 0), [9.0, 7.0, 4.0, 1.0]);
    }

    #[test]
    fn every_number_of_steps_gives_descending_timesteps_inside_training() {
        for steps in 1..=1000 {
            for spacing in
                [TimestepSpacing::Linspace, TimestepSpacing::Leading, TimestepSpacing::Trailing]
            {
                let timesteps = spacing.timesteps(1000, steps, 0);
                assert_eq!(timesteps.len(), steps);
                assert!(timesteps.is_sorted_by(|a, b| a > b), "{spacing:?} {steps}");
                assert!(timesteps[0] <= 999.0 && timesteps[steps - 1] >= 0.0);
            }
        }
    }
}
