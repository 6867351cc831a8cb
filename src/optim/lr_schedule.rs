//! Learning rate over the steps of a run, as diffusers' `get_scheduler` (0.35) sets it.

use std::{f64::consts::PI, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::LrPieces;

/// Where `polynomial` ends; diffusers' `lr_end`.
const POLYNOMIAL_END: f64 = 1e-7;

/// The shape of a [`LrSchedule`], under diffusers' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LrShape {
    /// The base rate at every step; no warm-up.
    #[default]
    Constant,
    /// The base rate after the warm-up.
    ConstantWithWarmup,
    /// A straight line down to 0 at the last step.
    Linear,
    /// Half a cosine down to 0 at the last step.
    Cosine,
    /// `num_cycles` times half a cosine, each from the base rate down to 0.
    CosineWithRestarts,
    /// Down to 1e-7 with the remaining share of the run to the power `power`.
    Polynomial,
}

impl LrShape {
    const ALL: [(&str, Self); 6] = [
        ("constant", Self::Constant),
        ("constant_with_warmup", Self::ConstantWithWarmup),
        ("linear", Self::Linear),
        ("cosine", Self::Cosine),
        ("cosine_with_restarts", Self::CosineWithRestarts),
        ("polynomial", Self::Polynomial),
    ];

    /// Whether the rate at a step depends on how many steps the run has.
    pub fn follows_length(self) -> bool {
        !matches!(self, Self::Constant | Self::ConstantWithWarmup)
    }
}

impl fmt::Display for LrShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = Self::ALL[*self as usize];
        f.pad(name)
    }
}

/// A name that is none of the [`LrShape`]s.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown learning-rate schedule `{0}`: use `constant`, `constant_with_warmup`, `linear`, \
     `cosine`, `cosine_with_restarts` or `polynomial`"
)]
pub struct UnknownLrShape(String);

impl FromStr for LrShape {
    type Err = UnknownLrShape;

    fn from_str(name: &str) -> Result<Self, UnknownLrShape> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| *kind).ok_or_else(|| UnknownLrShape(name.into()))
    }
}

/// The learning rate of every step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LrSchedule {
    /// The shape.
    pub kind: LrShape,
    /// The rate at the top of the schedule, after any scaling by the batch size.
    pub base_lr: f64,
    /// Steps of a straight line up from 0 that come first; `constant` has none.
    pub warmup_steps: usize,
    /// Optimiser steps of the whole run, warm-up included.
    pub total_steps: usize,
    /// Cycles of `cosine_with_restarts`; the others ignore it. Default: 1.
    pub num_cycles: usize,
    /// Exponent of `polynomial`; the others ignore it. Default: 1, a straight line.
    pub power: f64,
    /// Rates that take the place of all the others, before any scaling.
    pub pieces: Option<ScaledPieces>,
}

/// [`LrPieces`] of a run that scales its rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaledPieces {
    /// The rates as they were given.
    pub pieces: LrPieces,
    /// What each is multiplied by.
    pub scale: f64,
}

impl ScaledPieces {
    /// The rate that drives update `step` (0-based).
    pub fn at(&self, step: usize) -> f64 {
        self.pieces.at(step) * self.scale
    }
}

impl LrSchedule {
    /// A schedule with diffusers' defaults for `num_cycles` and `power`.
    pub fn new(kind: LrShape, base_lr: f64, warmup_steps: usize, total_steps: usize) -> Self {
        Self { kind, base_lr, warmup_steps, total_steps, num_cycles: 1, power: 1.0, pieces: None }
    }

    /// The rate that drives update `step` (0-based), also past the end of the run: there `linear`
    /// and `cosine_with_restarts` stay at 0, `polynomial` at its end, and `cosine` rises again.
    ///
    /// A `base_lr` below the 1e-7 at which `polynomial` ends, which diffusers refuses, stays as
    /// it is throughout.
    pub fn at(&self, step: usize) -> f64 {
        if let Some(pieces) = &self.pieces {
            return pieces.at(step);
        }
        if self.kind == LrShape::Constant {
            return self.base_lr;
        }
        if step < self.warmup_steps {
            return self.base_lr * (step as f64 / self.warmup_steps as f64);
        }
        let decay_steps = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let progress = (step - self.warmup_steps) as f64 / decay_steps;
        let ended = step >= self.total_steps;
        match self.kind {
            LrShape::Constant | LrShape::ConstantWithWarmup => self.base_lr,
            LrShape::Linear => {
                self.base_lr * (self.total_steps.saturating_sub(step) as f64 / decay_steps)
            }
            LrShape::Cosine => self.base_lr * half_cosine(progress),
            LrShape::CosineWithRestarts if ended => 0.0,
            LrShape::CosineWithRestarts => {
                self.base_lr * half_cosine((self.num_cycles as f64 * progress).fract())
            }
            LrShape::Polynomial => {
                let end = POLYNOMIAL_END.min(self.base_lr);
                let remaining = if ended { 0.0 } else { (1.0 - progress).powf(self.power) };
                (self.base_lr - end) * remaining + end
            }
        }
    }
}

/// 1 at 0, 0 at 1.
fn half_cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_the_schedule_that_displays_and_saves_as_it() {
        for (name, kind) in LrShape::ALL {
            assert_eq!(name.parse(), Ok(kind));
            assert_eq!(kind.to_string(), name);
            assert_eq!(serde_json::to_value(kind).unwrap(), name);
        }
        let error = "Cosine".parse::<LrShape>().unwrap_err().to_string();
        assert!(error.contains("`Cosine`") && error.contains("`cosine_with_restarts`"), "{error}");
    }

    #[test]
    fn every_schedule_stays_finite_between_0_and_its_base_whatever_its_lengths() {
        for (name, kind) in LrShape::ALL {
            for (warmup_steps, total_steps) in [(0, 0), (0, 1), (5, 5), (9, 3), (3, 9)] {
                for base_lr in [0.0, 1e-9, 5e-3] {
                    let schedule = LrSchedule::new(kind, base_lr, warmup_steps, total_steps);
                    for step in 0..20 {
                        let rate = schedule.at(step);
                        assert!(
                            (0.0..=base_lr).contains(&rate),
                            "{name} {schedule:?} {step}: {rate}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn polynomial_ends_at_its_end_for_every_power() {
        for power in [0.0, 0.5, 1.0, 2.0] {
            let schedule =
                LrSchedule { power, ..LrSchedule::new(LrShape::Polynomial, 5e-3, 2, 10) };
            assert_eq!(schedule.at(2), 5e-3);
            assert_eq!(schedule.at(11), POLYNOMIAL_END);
        }
    }

    #[test]
    fn restarts_begin_each_cycle_at_the_base_rate() {
        let schedule = LrSchedule {
            num_cycles: 4,
            ..LrSchedule::new(LrShape::CosineWithRestarts, 1.0, 0, 40)
        };
        for step in [0, 10, 20, 30] {
            assert_eq!(schedule.at(step), 1.0);
        }
        assert_eq!(schedule.at(40), 0.0);
    }
}
