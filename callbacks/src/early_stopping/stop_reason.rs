//! Why a run ended, as data and as a sentence.

use alloc::{collections::BTreeMap, format, string::String};
use core::fmt;

/// Why a run ended. The Display is one sentence for people and counts steps from 1.
///
/// In the fields, the `step` of a criterion is the index from 0, among the values given to
/// `update`, of the one at which it stopped; a callback puts the index of the run's step in its
/// place. A stop at index 165 thus comes after 166 steps. `steps` is a number of steps made.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "reason", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum StopReason {
    /// The variance of the last `window` losses fell below `threshold` times that of all losses.
    Dvar {
        /// Index, from 0, of the loss at which it stopped.
        step: usize,
        /// Variance of the window over variance of the history.
        ratio: f64,
        /// The limit the ratio fell below.
        threshold: f64,
        /// Number of losses in the window.
        window: usize,
    },
    /// The last `window` losses brought less than `threshold` times the whole fall.
    Plateau {
        /// Index, from 0, of the loss at which it stopped.
        step: usize,
        /// Fall of the window's mean over the whole fall.
        share: f64,
        /// The limit the share fell below.
        threshold: f64,
        /// Number of losses in the window.
        window: usize,
    },
    /// At least a full window of losses, and all of them are the same number: converged, or the
    /// objective does not depend on what is trained. Worth a warning.
    ConstantObjective {
        /// Index, from 0, of the loss at which it stopped.
        step: usize,
    },
    /// More than `patience` scores in a row did not improve on the best one.
    NoImprovement {
        /// Index, from 0, of the score at which it stopped.
        step: usize,
        /// The best score, or none where no score was a finite number.
        best: Option<f64>,
        /// Number of scores without improvement that were allowed.
        patience: usize,
    },
    /// The run made all the steps it was given.
    MaxSteps {
        /// Number of optimiser steps made.
        steps: usize,
    },
    /// The user ended the run.
    Interrupted {
        /// Number of optimiser steps made; in files it is called `step`.
        #[cfg_attr(feature = "serde", serde(rename = "step"))]
        steps: usize,
    },
    /// A criterion that this crate does not know.
    Other {
        /// What the criterion is called in a sentence.
        criterion: String,
        /// Index, from 0, of the value at which it stopped.
        step: usize,
        /// Why it stopped, without the step and without a full stop.
        text: String,
        /// The numbers of the decision by name, each finite: JSON knows no others.
        figures: BTreeMap<String, f64>,
    },
}

impl StopReason {
    /// The same reason at another index, from 0: that of the run's step, where the criterion is not
    /// asked at every step. Counts of steps made stay as they are.
    #[must_use]
    pub fn at_step(mut self, index: usize) -> Self {
        match &mut self {
            Self::Dvar { step, .. }
            | Self::Plateau { step, .. }
            | Self::ConstantObjective { step }
            | Self::NoImprovement { step, .. }
            | Self::Other { step, .. } => *step = index,
            Self::MaxSteps { .. } | Self::Interrupted { .. } => {}
        }
        self
    }

    /// The sentence where the reason counts something else than steps, such as `epoch`, in the
    /// singular.
    pub fn counting<'a>(&'a self, unit: &'a str) -> impl fmt::Display + 'a {
        Sentence { reason: self, unit }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counting("step").fmt(f)
    }
}

struct Sentence<'a> {
    reason: &'a StopReason,
    unit: &'a str,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, unit } = *self;
        let past = |index: &usize| After { count: index.saturating_add(1), unit };
        match reason {
            StopReason::Dvar { step, ratio, threshold, window } => write!(
                f,
                "DVAR stopped {}: the variance of the last {window} losses is {ratio:.decimals$} of \
                 that of all losses, below the threshold {threshold}",
                past(step),
                decimals = decimals_below(*threshold, *ratio, 4)
            ),
            StopReason::Plateau { step, share, threshold, window } => write!(
                f,
                "the plateau was reached {}: the last {window} losses brought {:.decimals$} % of the \
                 whole fall, less than {} %",
                past(step),
                percent(*share),
                percent(*threshold),
                decimals = decimals_below(percent(*threshold), percent(*share), 2)
            ),
            StopReason::ConstantObjective { step } => {
                write!(f, "stopped {}: every evaluation loss so far is the same number", past(step))
            }
            StopReason::NoImprovement { step, best: Some(best), patience } => write!(
                f,
                "the score no longer rose {}: more than {patience} in a row did not improve on the \
                 best, {best:.4}",
                past(step)
            ),
            StopReason::NoImprovement { step, best: None, patience } => write!(
                f,
                "the score failed {}: more than {patience} in a row were not finite numbers",
                past(step)
            ),
            StopReason::MaxSteps { steps: 1 } => write!(f, "stopped after its only {unit}"),
            StopReason::MaxSteps { steps } => write!(f, "stopped after all {steps} {unit}s"),
            StopReason::Interrupted { steps } => {
                write!(f, "interrupted {}", After { count: *steps, unit })
            }
            StopReason::Other { criterion, step, text, .. } => {
                write!(f, "{criterion} stopped {}: {text}", past(step))
            }
        }
    }
}

/// A hundred times a share, by its decimals: a product makes 7.000000000000001 of 0.07.
fn percent(share: f64) -> f64 {
    let text = format!("{share:e}");
    let moved = text.split_once('e').and_then(|(digits, exponent)| {
        let exponent: i32 = exponent.parse().ok()?;
        format!("{digits}e{}", exponent + 2).parse().ok()
    });
    moved.unwrap_or(100.0 * share)
}

/// How many decimals show that `value` is below `limit`, but `least` at least.
fn decimals_below(limit: f64, value: f64, least: usize) -> usize {
    let shows = |decimals: &usize| {
        format!("{value:.decimals$}").parse().is_ok_and(|shown: f64| shown < limit)
    };
    (least..f64::DIGITS as usize).find(shows).unwrap_or(least)
}

/// A count with its unit: `after 166 steps`.
struct After<'a> {
    count: usize,
    unit: &'a str,
}

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 { "" } else { "s" };
        write!(f, "after {} {}{plural}", self.count, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other() -> StopReason {
        StopReason::Other {
            criterion: "the slope".into(),
            step: 4,
            text: "it is flat".into(),
            figures: [("slope".into(), 0.25)].into(),
        }
    }

    fn reasons() -> [StopReason; 8] {
        [
            StopReason::Dvar { step: 9, ratio: 0.125, threshold: 0.15, window: 4 },
            StopReason::Plateau { step: 9, share: 0.0625, threshold: 0.25, window: 4 },
            StopReason::ConstantObjective { step: 3 },
            StopReason::NoImprovement { step: 3, best: Some(0.7), patience: 2 },
            StopReason::NoImprovement { step: 3, best: None, patience: 2 },
            StopReason::MaxSteps { steps: 100 },
            StopReason::Interrupted { steps: 7 },
            other(),
        ]
    }

    #[test]
    fn a_reason_is_one_sentence() {
        for sentence in reasons().map(|reason| reason.to_string()) {
            assert!(!sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
        }
    }

    #[test]
    fn what_a_criterion_says_is_moved_to_the_run_s_step_and_a_count_of_steps_stays() {
        for reason in reasons() {
            let counts =
                matches!(reason, StopReason::MaxSteps { .. } | StopReason::Interrupted { .. });
            let moved = reason.clone().at_step(41);
            assert_eq!(moved == reason, counts, "{moved}");
            assert_eq!(moved.to_string().contains(" after 42 steps"), !counts, "{moved}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_reason_survives_json() {
        use crate::early_stopping::Control;
        for reason in reasons() {
            let control = Control::Stop(reason);
            let json = serde_json::to_string(&control).unwrap();
            assert_eq!(serde_json::from_str::<Control>(&json).unwrap(), control, "{json}");
        }
    }

    /// Results and states of earlier versions hold it.
    #[cfg(feature = "serde")]
    #[test]
    fn the_json_of_a_reason_stays_as_it_is() {
        let json = reasons().map(|reason| serde_json::to_string(&reason).unwrap());
        let expected = [
            r#"{"reason":"dvar","step":9,"ratio":0.125,"threshold":0.15,"window":4}"#,
            r#"{"reason":"plateau","step":9,"share":0.0625,"threshold":0.25,"window":4}"#,
            r#"{"reason":"constant_objective","step":3}"#,
            r#"{"reason":"no_improvement","step":3,"best":0.7,"patience":2}"#,
            r#"{"reason":"no_improvement","step":3,"best":null,"patience":2}"#,
            r#"{"reason":"max_steps","steps":100}"#,
            r#"{"reason":"interrupted","step":7}"#,
            r#"{"reason":"other","criterion":"the slope","step":4,"text":"it is flat","figures":{"slope":0.25}}"#,
        ];
        assert_eq!(json, expected);
    }

    #[test]
    fn sentences_count_from_1_where_fields_count_from_0() {
        let reason = StopReason::Dvar { step: 165, ratio: 0.125, threshold: 0.15, window: 4 };
        assert_eq!(
            reason.to_string(),
            "DVAR stopped after 166 steps: the variance of the last 4 losses is 0.1250 of that of \
             all losses, below the threshold 0.15"
        );
        let close = StopReason::Dvar { step: 9, ratio: 0.04998, threshold: 0.05, window: 4 };
        assert!(close.to_string().contains("losses is 0.04998 of that of"), "{close}");
        assert_eq!(StopReason::Interrupted { steps: 1 }.to_string(), "interrupted after 1 step");
        let plateau = StopReason::Plateau { step: 9, share: 0.04999, threshold: 0.05, window: 4 };
        assert!(plateau.to_string().ends_with("brought 4.999 % of the whole fall, less than 5 %"));
        for (threshold, told) in [(0.07, "7"), (0.29, "29"), (0.001, "0.1"), (0.15, "15")] {
            let plateau = StopReason::Plateau { step: 9, share: 0.0, threshold, window: 4 };
            let end = format!("0.00 % of the whole fall, less than {told} %");
            assert!(plateau.to_string().ends_with(&end), "{plateau}");
        }
        assert_eq!(other().to_string(), "the slope stopped after 5 steps: it is flat");
        let epoch = other().at_step(0).counting("epoch").to_string();
        assert_eq!(epoch, "the slope stopped after 1 epoch: it is flat");
    }
}
