//! Patience on a score: the criterion DVAR is compared with.

use super::{Control, Criterion, CriterionError, StopReason};

/// Stop when more than `patience` scores in a row do not exceed the best one by more than
/// `min_delta`: the official `ClipEarlyStopper`, "CLIP-s" in arXiv 2302.04841.
///
/// The best score moves only by such an improvement. A score that is not a finite number never
/// is one; unlike in the official code it never becomes the best score either, so that a NaN at
/// the start does not hide every later improvement.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Saved")
)]
pub struct ScorePatience {
    min_delta: f64,
    patience: usize,
    best: Option<f64>,
    without_improvement: usize,
    scores: usize,
}

/// What was saved, before it is checked.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    min_delta: f64,
    patience: usize,
    best: Option<f64>,
    without_improvement: usize,
    scores: usize,
}

#[cfg(feature = "serde")]
impl TryFrom<Saved> for ScorePatience {
    type Error = CriterionError;

    fn try_from(saved: Saved) -> Result<Self, CriterionError> {
        let Saved { min_delta, patience, best, without_improvement, scores } = saved;
        let possible = match best {
            Some(best) => best.is_finite() && without_improvement < scores,
            None => without_improvement == scores,
        };
        if !possible {
            return Err(CriterionError::SavedState);
        }
        Ok(Self { best, without_improvement, scores, ..Self::new(min_delta, patience)? })
    }
}

impl ScorePatience {
    /// A criterion without history. With a score every 50 steps, the official code uses a
    /// `min_delta` of 0.02 and a `patience` of 6 for Textual Inversion, the first version of the
    /// paper 0.05 and 5.
    ///
    /// # Errors
    /// A negative or non-finite `min_delta`.
    pub fn new(min_delta: f64, patience: usize) -> Result<Self, CriterionError> {
        if !min_delta.is_finite() || min_delta < 0.0 {
            return Err(CriterionError::MinDelta { min_delta });
        }
        Ok(Self { min_delta, patience, best: None, without_improvement: 0, scores: 0 })
    }

    /// Records the next score (larger is better) and decides. Scores may be recorded after a stop; each
    /// decision is made anew. In the official code a stop stays, which there ends the run anyway.
    pub fn update(&mut self, score: f64) -> Control {
        self.record(score);
        if self.without_improvement <= self.patience {
            return Control::Continue;
        }
        let step = self.scores.saturating_sub(1);
        let Self { best, patience, .. } = *self;
        Control::Stop(StopReason::NoImprovement { step, best, patience })
    }

    fn record(&mut self, score: f64) {
        self.scores = self.scores.saturating_add(1);
        if score.is_finite() && self.best.is_none_or(|best| score > best + self.min_delta) {
            self.best = Some(score);
            self.without_improvement = 0;
        } else {
            self.without_improvement = self.without_improvement.saturating_add(1);
        }
    }

    /// How many scores in a row may bring no improvement.
    pub fn patience(&self) -> usize {
        self.patience
    }

    /// The best score, once there is a finite one.
    pub fn best(&self) -> Option<f64> {
        self.best
    }
}

/// The value is a score, and none is refused. See [`ScorePatience::update`].
impl Criterion for ScorePatience {
    fn update(&mut self, value: f64) -> Result<Control, CriterionError> {
        Ok(self.update(value))
    }

    fn settings(&self) -> alloc::vec::Vec<(&'static str, f64)> {
        alloc::vec![("min_delta", self.min_delta), ("patience", self.patience as f64)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The whole series looked at anew for each decision.
    fn naive(scores: &[f64], min_delta: f64, patience: usize) -> Control {
        let (mut best, mut last) = (None::<f64>, None);
        for (i, score) in scores.iter().enumerate() {
            if score.is_finite() && best.is_none_or(|best| *score > best + min_delta) {
                (best, last) = (Some(*score), Some(i));
            }
        }
        let failures = last.map_or(scores.len(), |last: usize| scores.len() - 1 - last);
        if failures > patience { stop(scores.len() - 1, best, patience) } else { Control::Continue }
    }

    proptest! {
        #[test]
        fn decides_as_a_look_at_the_whole_series_does(
            scores in vec(prop_oneof![
                6 => -1.0..1.0f64,
                2 => prop_oneof![Just(0.25), Just(0.5)],
                1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
            ], 1..60),
            min_delta in prop_oneof![Just(0.0), 0.0..0.5f64],
            patience in 0usize..70,
        ) {
            let mut criterion = ScorePatience::new(min_delta, patience).unwrap();
            for seen in 1..=scores.len() {
                let control = criterion.update(scores[seen - 1]);
                prop_assert_eq!(control, naive(&scores[..seen], min_delta, patience));
            }
        }
    }

    fn stop(step: usize, best: Option<f64>, patience: usize) -> Control {
        Control::Stop(StopReason::NoImprovement { step, best, patience })
    }

    #[test]
    fn stops_at_the_failure_after_patience_is_used_up() {
        let mut criterion = ScorePatience::new(0.0, 2).unwrap();
        let decisions = [0.5, 0.5, 0.4, 0.5].map(|score| criterion.update(score));
        let go = || Control::Continue;
        assert_eq!(decisions, [go(), go(), go(), stop(3, Some(0.5), 2)]);
    }

    #[test]
    fn an_improvement_must_exceed_min_delta_strictly() {
        let mut criterion = ScorePatience::new(0.25, 0).unwrap();
        assert_eq!(criterion.update(0.5), Control::Continue);
        assert_eq!(criterion.clone().update(0.75), stop(1, Some(0.5), 0));
        assert_eq!(criterion.update(0.8), Control::Continue);
        assert_eq!(criterion.best(), Some(0.8));
    }

    /// Where a run must make more steps, the criterion is asked on.
    #[test]
    fn a_score_that_rises_after_a_stop_counts() {
        let mut criterion = ScorePatience::new(0.0, 0).unwrap();
        assert_eq!(criterion.update(0.5), Control::Continue);
        assert_eq!(criterion.update(0.4), stop(1, Some(0.5), 0));
        assert_eq!(criterion.update(0.9), Control::Continue);
        assert_eq!(criterion.update(f64::NAN), stop(3, Some(0.9), 0));
    }

    #[test]
    fn scores_that_are_not_finite_count_as_no_improvement_and_never_as_the_best() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut criterion = ScorePatience::new(0.0, 1).unwrap();
            assert_eq!(criterion.update(odd), Control::Continue);
            assert_eq!(criterion.clone().update(odd), stop(1, None, 1));
            assert_eq!(criterion.update(0.5), Control::Continue);
            assert_eq!(criterion.best(), Some(0.5));
            assert_eq!(criterion.update(odd), Control::Continue);
            assert_eq!(criterion.update(odd), stop(3, Some(0.5), 1));
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_saved_state_goes_on_and_one_that_contradicts_itself_is_refused() {
        let mut kept = ScorePatience::new(0.25, 1).unwrap();
        let series: [&[f64]; 3] = [&[], &[f64::NAN], &[0.5, 0.25]];
        for scores in series {
            for score in scores {
                let _ = kept.update(*score);
            }
            let json = serde_json::to_string(&kept).unwrap();
            assert_eq!(serde_json::from_str::<ScorePatience>(&json).unwrap(), kept, "{json}");
        }
        let good = serde_json::to_value(&kept).unwrap();
        for (field, value) in [
            ("min_delta", serde_json::json!(-1.0)),
            ("best", serde_json::json!(null)),
            ("without_improvement", serde_json::json!(3)),
            ("unknown", serde_json::json!(1)),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert!(serde_json::from_value::<ScorePatience>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn refuses_an_improvement_that_is_negative_or_not_finite() {
        for min_delta in [-1e-9, f64::NAN, f64::INFINITY] {
            let refused = ScorePatience::new(min_delta, 1);
            assert!(matches!(refused, Err(CriterionError::MinDelta { .. })), "{min_delta}");
        }
    }
}
