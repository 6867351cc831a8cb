//! A run's state between two steps, as one file.

use std::collections::{BTreeMap, BTreeSet};

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::{
    early_stopping::StopReason,
    optim::LossScaler,
    tensor::{HostTensor, to_safetensors},
};

/// Everything a run needs to go on with the same bytes: a
/// [`RunState`](super::RunState) and what the trainer itself remembers.
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
    /// The trained tensors, in their order.
    pub parameters: Vec<HostTensor>,
    /// What the optimiser remembers, named `parameter/memory`.
    pub optimizer: Vec<HostTensor>,
    /// Where the loss is scaled.
    pub loss_scaler: Option<LossScaler>,
}

const METADATA: &str = "dvar";
const OPTIMIZER: &str = "optimizer/";

#[derive(Serialize, Deserialize)]
struct Metadata {
    step: usize,
    fingerprint: u64,
    stop: Option<StopReason>,
    callbacks: BTreeMap<String, serde_json::Value>,
    /// The order, which a safetensors file does not keep.
    parameters: Vec<String>,
    optimizer: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss_scaler: Option<LossScaler>,
}

impl TrainState {
    /// Refuses the state of a run with other options or data than those of this number.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if it is of such a run.
    pub fn check_fingerprint(&self, fingerprint: u64) -> Result<(), TrainError> {
        if self.fingerprint == fingerprint {
            return Ok(());
        }
        Err(TrainError::state(
            "the options, the pictures or the vectors of a file to start from are not those that the \
             run began with, or another version of dvar began it; put them back, or start a new run",
        ))
    }

    /// The state as a safetensors file; equal states give equal bytes.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if a callback saved what JSON cannot hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TrainError> {
        let names = |tensors: &[HostTensor]| tensors.iter().map(|t| t.name.clone()).collect();
        let metadata = Metadata {
            step: self.step,
            fingerprint: self.fingerprint,
            stop: self.stop.clone(),
            callbacks: self.callbacks.clone(),
            parameters: names(&self.parameters),
            optimizer: names(&self.optimizer),
            loss_scaler: self.loss_scaler.clone(),
        };
        let metadata = serde_json::to_string(&metadata).map_err(TrainError::state)?;
        let parameters = self.parameters.iter().map(|tensor| (tensor.name.clone(), tensor));
        let optimizer = self.optimizer.iter().map(|t| (format!("{OPTIMIZER}{}", t.name), t));
        let tensors = parameters
            .chain(optimizer)
            .map(|(name, tensor)| (name, tensor.shape.to_vec(), &*tensor.values));
        to_safetensors(tensors, (METADATA, &metadata)).map_err(TrainError::state)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`TrainError::State`] if the bytes are no such file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrainError> {
        let broken = |error: &dyn std::fmt::Display| {
            TrainError::state(format!("the saved state is broken ({error}); start the run anew"))
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| broken(&e))?;
        let metadata = header.metadata().as_ref().and_then(|all| all.get(METADATA));
        let metadata = metadata.ok_or_else(|| broken(&"no metadata"))?;
        let metadata: Metadata = serde_json::from_str(metadata).map_err(|e| broken(&e))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| broken(&e))?;
        let read = |name: String, key: String| {
            let view = file.tensor(&key).map_err(|e| broken(&e))?;
            HostTensor::from_view(&name, &view).map_err(|e| broken(&format!("`{key}` {e}")))
        };
        let Metadata { step, fingerprint, stop, callbacks, parameters, optimizer, loss_scaler } =
            metadata;
        for names in [&parameters, &optimizer] {
            let mut seen = BTreeSet::new();
            if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
                return Err(broken(&format!("`{twice}` is there twice")));
            }
        }
        let parameters = parameters.into_iter().map(|name| read(name.clone(), name));
        let optimizer =
            optimizer.into_iter().map(|name| read(name.clone(), format!("{OPTIMIZER}{name}")));
        let parameters = parameters.collect::<Result<_, _>>()?;
        let optimizer = optimizer.collect::<Result<_, _>>()?;
        Ok(Self { step, fingerprint, stop, callbacks, parameters, optimizer, loss_scaler })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> TrainState {
        let tensor = |name: &str, values: [f32; 2]| HostTensor {
            name: name.into(),
            shape: [1, 2],
            values: values.to_vec(),
        };
        TrainState {
            step: 7,
            fingerprint: u64::MAX,
            stop: Some(StopReason::MaxSteps { steps: 7 }),
            callbacks: BTreeMap::from([("dvar".into(), serde_json::json!({ "mean": 0.1 }))]),
            parameters: vec![tensor("vectors", [0.1, -2.0]), tensor("a", [1e-30, 3.0])],
            optimizer: vec![tensor("vectors/exp_avg", [f32::MIN_POSITIVE, 0.0])],
            loss_scaler: Some(LossScaler::default()),
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

    /// A short file would name one large tensor so often that its copies fill the memory.
    #[test]
    fn a_state_that_names_a_tensor_twice_is_an_error() {
        let mut bytes = state().to_bytes().unwrap();
        let (names, twice) = (br#"[\"vectors\",\"a\"]"#, br#"[\"a\",    \"a\"  ]"#);
        let at = bytes.windows(names.len()).position(|found| found == names).unwrap();
        bytes[at..][..names.len()].copy_from_slice(twice);
        let error = TrainState::from_bytes(&bytes).unwrap_err();
        assert!(error.to_string().contains("`a` is there twice"), "{error}");
    }
}
