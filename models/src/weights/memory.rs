//! A model in memory.

use std::{borrow::Cow, collections::BTreeMap, io::Cursor};

use super::{ModelSource, Weights, layout, source::missing};
use crate::ModelError;

/// Files in memory, such as the embedded default's.
#[derive(Clone, Debug)]
pub struct Memory(pub BTreeMap<String, Cow<'static, [u8]>>);

impl Memory {
    fn get(&self, file: &str) -> Result<&Cow<'static, [u8]>, ModelError> {
        self.0.get(file).ok_or_else(|| missing(file.into()))
    }
}

impl ModelSource for Memory {
    fn has(&self, file: &str) -> bool {
        self.0.contains_key(file)
    }

    fn read(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        self.get(file).map(|bytes| Cow::Borrowed(&**bytes))
    }

    fn weights(&self, part: &str) -> Result<Weights, ModelError> {
        layout::weights(self, part, |file| self.get(file).map(|bytes| Cursor::new(bytes.clone())))
    }
}

/// Configurations in memory without weights: a model of their sizes, for measuring.
#[derive(Clone, Debug)]
pub struct RandomWeights(pub Memory);

impl ModelSource for RandomWeights {
    fn has(&self, file: &str) -> bool {
        self.0.has(file)
    }

    fn read(&self, file: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        self.0.read(file)
    }

    fn weights(&self, _: &str) -> Result<Weights, ModelError> {
        Ok(Weights::Random)
    }
}
