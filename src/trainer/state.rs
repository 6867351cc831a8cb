//! A run's state between two steps, as one file.

use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::early_stopping::StopReason;

/// Everything a run needs to go on with the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// Steps made.
    pub step: usize,
    /// Stands for the run's options and data.
    pub fingerprint: u64,
    /// Why the run ended, if it did.
    pub stop: Option<StopReason>,
    /// What each callback saved, by its name.
    pub callbacks: BTreeMap<String, serde_json::Value>,
    /// Vectors, then the optimiser's two means; each `num_vectors * width` values.
    pub tensors: [Vec<f32>; 3],
    /// Number of vectors and their width.
    pub shape: [usize; 2],
}

const NAMES: [&str; 3] = ["vectors", "exp_avg", "exp_avg_sq"];
const METADATA: &str = "dvar";

#[derive(Serialize, Deserialize)]
struct Metadata {
    step: usize,
    fingerprint: u64,
    stop: Option<StopReason>,
    callbacks: BTreeMap<String, serde_json::Value>,
}

impl TrainState {
    /// The state as a safetensors file; equal states give equal bytes.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if a callback saved what JSON cannot hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TrainError> {
        let failed = |error: &dyn std::fmt::Display| TrainError::State(error.to_string());
        let metadata = Metadata {
            step: self.step,
            fingerprint: self.fingerprint,
            stop: self.stop,
            callbacks: self.callbacks.clone(),
        };
        let metadata = serde_json::to_string(&metadata).map_err(|e| failed(&e))?;
        let bytes: Vec<Vec<u8>> = self
            .tensors
            .iter()
            .map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let views = NAMES
            .iter()
            .zip(&bytes)
            .map(|(name, bytes)| {
                Ok((*name, TensorView::new(Dtype::F32, self.shape.to_vec(), bytes)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| failed(&e))?;
        let metadata = HashMap::from([(METADATA.to_string(), metadata)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| failed(&e))
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if the bytes are no such file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrainError> {
        let broken = |error: &dyn std::fmt::Display| {
            TrainError::State(format!("the saved state is broken ({error}); start the run anew"))
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| broken(&e))?;
        let metadata = header.metadata().as_ref().and_then(|all| all.get(METADATA));
        let metadata = metadata.ok_or_else(|| broken(&"no metadata"))?;
        let metadata: Metadata = serde_json::from_str(metadata).map_err(|e| broken(&e))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| broken(&e))?;
        let mut tensors: [Vec<f32>; 3] = Default::default();
        let mut shape = [0; 2];
        for (values, name) in tensors.iter_mut().zip(NAMES) {
            let view = file.tensor(name).map_err(|e| broken(&e))?;
            let &[num_vectors, dim] = view.shape() else { return Err(broken(&"a wrong shape")) };
            if view.dtype() != Dtype::F32 || (name != NAMES[0] && shape != [num_vectors, dim]) {
                return Err(broken(&"a wrong type or shape"));
            }
            shape = [num_vectors, dim];
            let words = view.data().as_chunks::<4>().0;
            values.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
        }
        let Metadata { step, fingerprint, stop, callbacks } = metadata;
        Ok(Self { step, fingerprint, stop, callbacks, tensors, shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> TrainState {
        TrainState {
            step: 7,
            fingerprint: u64::MAX,
            stop: Some(StopReason::MaxSteps { steps: 7 }),
            callbacks: BTreeMap::from([("dvar".into(), serde_json::json!({ "mean": 0.1 }))]),
            tensors: [vec![0.1, -2.0], vec![1e-30, 3.0], vec![f32::MIN_POSITIVE, 0.0]],
            shape: [1, 2],
        }
    }

    #[test]
    fn a_state_comes_back_as_it_was_saved() {
        let bytes = state().to_bytes().unwrap();
        assert_eq!(bytes, state().to_bytes().unwrap());
        assert_eq!(TrainState::from_bytes(&bytes).unwrap(), state());
    }

    #[test]
    fn a_cut_off_state_is_an_error() {
        let bytes = state().to_bytes().unwrap();
        for length in [0, 7, 8, 20, bytes.len() - 1] {
            assert!(matches!(TrainState::from_bytes(&bytes[..length]), Err(TrainError::State(_))));
        }
    }
}
