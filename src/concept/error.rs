//! Why what was learned cannot be used.

use super::stored::NUMBERED;
use crate::{embedding::TAKE_ITS_MODEL, tensor::DeviceError};

/// Why an adapter file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The file is not what its name says.
    #[error("cannot use the adapter `{file}`: {problem}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The model has no such layer, or of another shape.
    #[error(
        "the adapter does not fit this model at `{layer}`: it needs {wanted}, the model has {found}; {TAKE_ITS_MODEL}"
    )]
    Fit {
        /// The layer, as the file calls it.
        layer: String,
        /// Inputs and outputs.
        wanted: String,
        /// Inputs and outputs, or nothing.
        found: String,
    },
    /// The model lacks layers.
    #[error(
        "`{file}` does not fit this model: `{layer}` is not in it, one of {unknown} such layers among {count}; {TAKE_ITS_MODEL}"
    )]
    Unknown {
        /// The file.
        file: String,
        /// The first of the layers, as the file calls it.
        layer: String,
        /// How many are not in the model.
        unknown: usize,
        /// How many the file has.
        count: usize,
    },
    /// The device failed while a weight was read from it.
    #[error("{0}")]
    Device(#[from] DeviceError),
}

impl AdapterError {
    /// Of a layer with other inputs and outputs than are wanted, or of none.
    pub(super) fn fit(layer: &str, wanted: [usize; 2], found: Option<[usize; 2]>) -> Self {
        let sizes = |[input, output]: [usize; 2]| format!("{input} to {output}");
        let found = found.map_or("none".into(), sizes);
        Self::Fit { layer: layer.into(), wanted: sizes(wanted), found }
    }

    /// Whether it is about a LoRA whose layers have numbers in the place of names.
    pub fn is_about_numbers(&self) -> bool {
        matches!(self, Self::File { problem, .. } if problem == NUMBERED)
    }
}
