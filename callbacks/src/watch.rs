//! Any criterion that serde can save, behind one type.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{TrainError, early_stopping::Criterion};

/// A criterion that a callback asks, saves and restores.
pub(crate) trait Watch: Criterion {
    fn save(&self) -> Option<Value>;
    fn restore(&mut self, saved: Value) -> Result<(), TrainError>;
}

impl<C: Criterion + Serialize + DeserializeOwned> Watch for C {
    fn save(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }

    fn restore(&mut self, saved: Value) -> Result<(), TrainError> {
        *self = serde_json::from_value(saved).map_err(TrainError::state)?;
        Ok(())
    }
}
