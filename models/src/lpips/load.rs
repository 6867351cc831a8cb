//! The network from the files that it is published in.

use burn::tensor::{DType, Device};

use super::{
    config::{LpipsConfig, NETWORK},
    model::Lpips,
};
use crate::{
    ModelError,
    weights::{ModelSource, Tensors, Weights},
};

/// The names that the backbone and the heads are published under, without the ending.
const BACKBONE: &str = "alexnet-owt-7be5be79";
const HEADS: &str = "alex";
const ENDINGS: [&str; 2] = ["safetensors", "pth"];

impl LpipsConfig {
    /// Loads the network in the folder `files`; see the module for what that holds.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a file is missing or broken, or holds another network.
    pub fn load(files: &dyn ModelSource, device: &Device) -> Result<Lpips, ModelError> {
        let backbone =
            find(files, BACKBONE, "torchvision's AlexNet (download.pytorch.org/models)")?;
        let heads =
            find(files, HEADS, "`lpips/weights/v0.1/alex.pth` of the PyPI package `lpips`")?;
        let mut tensors = stored(files, &backbone)?;
        let config = Self::read(&tensors)?;
        tensors.extend(stored(files, &heads)?);
        tensors.load(config.init(device), NETWORK, DType::F32)
    }
}

fn stored(files: &dyn ModelSource, file: &str) -> Result<Tensors, ModelError> {
    match files.weights(file)? {
        Weights::Stored(tensors) => Ok(tensors),
        Weights::Random => {
            let reason = "random weights measure no likeness".into();
            Err(ModelError::Invalid { file: files.display(file), reason })
        }
    }
}

fn find(files: &dyn ModelSource, stem: &str, what: &str) -> Result<String, ModelError> {
    let named = |ending| format!("{stem}.{ending}");
    ENDINGS.into_iter().map(named).find(|file| files.has(file)).ok_or_else(|| {
        ModelError::MissingFile {
            file: files.display(&named(ENDINGS[1])),
            remedy: format!("put {what} there"),
        }
    })
}
