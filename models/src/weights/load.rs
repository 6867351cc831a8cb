//! Stored tensors to networks, by burn-store.

use std::collections::BTreeSet;

use burn::{
    store::{
        ApplyError, ApplyResult, ChainAdapter, ModuleAdapter, ModuleContext, PyTorchToBurnAdapter,
    },
    tensor::{DType, Shape},
};
use burn_pack::Tensor as PackTensor;

use super::{KeyMap, ModelSource, Network, Tensors, Weights, precision::Precision, random};
use crate::ModelError;

/// Loads the weights of `part` into a freshly built network, converted to `dtype`; with f16 and
/// bf16, the weights of norms and the tables of embeddings become f32.
///
/// # Errors
///
/// [`ModelError`] if a file is missing or broken, if a PyTorch file asks for more than tensors, or
/// if the tensors are not exactly those the network has, each of its shape.
pub fn load<M: Network>(
    network: M,
    source: &dyn ModelSource,
    part: &str,
    dtype: DType,
) -> Result<M, ModelError> {
    match source.weights(part)? {
        Weights::Random => Ok(random::fill(network, dtype)),
        Weights::Stored(tensors) => {
            tensors.load(network, &source.display(&format!("{part}/config.json")), dtype)
        }
    }
}

impl Tensors {
    /// Loads these tensors into a freshly built network, converted to `dtype`; `config` is what
    /// they should fit, for messages.
    ///
    /// # Errors
    ///
    /// Those of [`load`].
    pub fn load<M: Network>(
        self,
        mut network: M,
        config: &str,
        dtype: DType,
    ) -> Result<M, ModelError> {
        let file = self.file().to_string();
        let remapper = M::KEYS.remapper();
        let remapper =
            remapper.map_err(|reason| ModelError::Invalid { file: file.clone(), reason })?;
        let (tensors, failures) = self.into_parts()?;
        let (tensors, _) = remapper.remap(tensors);
        if let Some(name) = repeated(&tensors, &M::KEYS) {
            let reason = format!("it holds `{}` twice", M::KEYS.original(name));
            return Err(ModelError::Invalid { file, reason });
        }
        let to_burn = ChainAdapter::new(PyTorchToBurnAdapter, Precision(dtype));
        let adapter = Box::new(ChainAdapter::new(Shapes, to_burn));
        let applied = network.apply(tensors, None, Some(adapter), true);
        Self::failure(&failures)?;
        match problems(applied, &M::KEYS) {
            None => Ok(network),
            Some(problems) => Err(ModelError::Weights { file, config: config.into(), problems }),
        }
    }
}

/// A name that two tensors have, of which only one would be loaded.
fn repeated<'a>(tensors: &'a [PackTensor], keys: &KeyMap) -> Option<&'a str> {
    let mut names = BTreeSet::new();
    let mut used = tensors.iter().map(|tensor| &*tensor.name).filter(|name| !keys.is_unused(name));
    used.find(|name| !names.insert(*name))
}

/// Shapes as layers have them. Old autoencoders saved the linear layers of their attention as 1x1
/// convolutions, which diffusers' converter made of their biases too in 0.25 and 0.26. And what has no
/// values may claim any number of rows, which burn-store goes through one by one where it transposes.
#[derive(Clone)]
struct Shapes;

impl ModuleAdapter for Shapes {
    fn adapt(&self, mut tensor: PackTensor, context: ModuleContext<'_>) -> PackTensor {
        if tensor.byte_len() == 0 {
            tensor.shape = [0_usize].into();
        }
        if context.module_type() == Some("Struct:Linear") {
            match tensor.shape[..] {
                [out, into, 1, 1] => tensor.shape = [out, into].into(),
                [out, 1, 1] => tensor.shape = [out].into(),
                _ => {}
            }
        }
        tensor
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

/// One line about the first few things that are wrong.
fn problems(applied: ApplyResult, keys: &KeyMap) -> Option<String> {
    const SHOWN: usize = 4;
    let mut problems: Vec<String> =
        applied.errors.into_iter().map(|error| describe(error, keys)).collect();
    let unused = applied.unused.into_iter().filter(|name| !keys.is_unused(name));
    problems.extend(unused.map(|name| format!("`{}` was not expected", keys.original(&name))));
    let missing: BTreeSet<String> = applied.missing.into_iter().map(|(name, _)| name).collect();
    problems.extend(missing.iter().map(|name| format!("`{}` is missing", keys.original(name))));
    let more = problems.len().saturating_sub(SHOWN);
    problems.truncate(SHOWN);
    let mut line = problems.join("; ");
    if more > 0 {
        line += &format!("; and {more} more");
    }
    (!line.is_empty()).then_some(line)
}

fn describe(error: ApplyError, keys: &KeyMap) -> String {
    let sizes = |shape: &Shape| {
        let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
        sizes.join(" x ")
    };
    match error {
        ApplyError::ShapeMismatch { path, expected, found } => {
            format!("`{}` is {}, not {}", keys.original(&path), sizes(&found), sizes(&expected))
        }
        other => other.to_string(),
    }
}
