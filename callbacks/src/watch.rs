//! Any criterion that serde can save, behind one type, and the names of what callbacks record.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{TrainError, early_stopping::Criterion};

/// A criterion that a callback asks, saves and restores.
pub(crate) trait Watch: Criterion {
    fn save(&self) -> Result<Value, TrainError>;
    fn restore(&mut self, saved: Value) -> Result<(), TrainError>;
}

impl<C: Criterion + Serialize + DeserializeOwned> Watch for C {
    fn save(&self) -> Result<Value, TrainError> {
        serde_json::to_value(self).map_err(TrainError::state)
    }

    fn restore(&mut self, saved: Value) -> Result<(), TrainError> {
        let saved: C = serde_json::from_value(saved).map_err(TrainError::state)?;
        let mut settings = saved.settings().into_iter().zip(self.settings());
        if let Some(((name, then), (_, now))) = settings.find(|(then, now)| then != now) {
            return Err(TrainError::state(format!(
                "the criterion's {name} was {then} when the state was saved and is {now} now; give it \
                 {then} again, or start the run anew"
            )));
        }
        *self = saved;
        Ok(())
    }
}

/// What a callback records a figure as: where it was given a name, the figure's begins with it.
pub(crate) fn named_figure(callback: Option<&str>, figure: &str) -> String {
    callback.map_or_else(|| figure.to_string(), |name| format!("{name}_{figure}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::early_stopping::{Control, CriterionError, Dvar, Plateau, ScorePatience};

    /// JSON has no such keys.
    #[derive(Serialize, Deserialize)]
    struct Unsaveable(BTreeMap<Vec<u8>, f64>);

    impl Criterion for Unsaveable {
        fn update(&mut self, _: f64) -> Result<Control, CriterionError> {
            Ok(Control::Continue)
        }
    }

    #[test]
    fn a_criterion_that_cannot_be_saved_is_an_error() {
        let criterion = Unsaveable([(vec![1], 2.0)].into());
        assert!(matches!(criterion.save(), Err(TrainError::State(_))));
    }

    #[test]
    fn a_saved_criterion_is_taken_back_only_by_one_with_its_settings() {
        let dvar = |window| Box::new(Dvar::new(window, 0.5).unwrap());
        let plateau = |threshold| Box::new(Plateau::new(6, threshold).unwrap());
        let score = |patience| Box::new(ScorePatience::new(0.1, patience).unwrap());
        type Case = (Box<dyn Watch>, Box<dyn Watch>, &'static str);
        let cases: [Case; 3] = [
            (
                dvar(6),
                dvar(8),
                "window was 6 when the state was saved and is 8 now; give it 6 again",
            ),
            (plateau(0.25), plateau(0.5), "threshold was 0.25"),
            (score(1), score(2), "patience was 1"),
        ];
        for (mut own, mut other, told) in cases {
            let saved = own.save().unwrap();
            own.restore(saved.clone()).unwrap();
            let refused = other.restore(saved).unwrap_err();
            assert!(matches!(refused, TrainError::State(_)), "{refused}");
            assert!(refused.to_string().contains(told), "{refused}");
        }
    }
}
