//! Why a tensor's values could not be read.

use std::sync::{Arc, Mutex, PoisonError};

use burn_pack::Error as PackError;

use crate::ModelError;

/// Why values could not be read: burn-store's own errors do not say where.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure {
    /// How messages name the file.
    file: String,
    last: Arc<Mutex<Option<ModelError>>>,
}

impl Failure {
    /// None yet; `file` is how messages name the file.
    pub fn of(file: String) -> Self {
        Self { file, ..Self::default() }
    }

    /// Leaves the reason for whoever asked for the values.
    pub fn set(&self, reason: String) {
        let error = ModelError::Invalid { file: self.file.clone(), reason };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Leaves why values could not be read, and gives it as burn-store takes it.
    pub fn report(&self, error: &impl ToString) -> PackError {
        let reason = error.to_string();
        self.set(reason.clone());
        PackError::ValidationError(reason)
    }

    /// The last reason that was left, which is then gone.
    pub fn take(&self) -> Option<ModelError> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
