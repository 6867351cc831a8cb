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
        *self = serde_json::from_value(saved).map_err(TrainError::state)?;
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
    use crate::early_stopping::{Control, CriterionError};

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
}
