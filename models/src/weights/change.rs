//! Weights of a loaded network exchanged for others, by their names in checkpoints.

use burn::{
    module::{Module, ModuleMapper, Param, ParamId},
    tensor::Tensor,
};

use super::{KeyMap, Network};

/// Gives the weight or bias that takes the place of one, or none where it stays: told its name in
/// checkpoints, a weight's without `.weight`, and the values as a matrix, `[inputs, outputs]`; the inputs
/// of a convolution are those under its kernel, `channels_in * height * width`, the outputs of a table of
/// embeddings are its rows, and a bias and the weight of a norm have one input.
pub type ChangeWeight<'a> = dyn FnMut(&str, Tensor<2>) -> Option<Tensor<2>> + 'a;

/// The same network after `change` was asked about every weight and every bias. What it gives has the
/// shape that it was told, and is cast to the own type of what it replaces; tracked by autodiff, it makes
/// the network's outputs tracked.
///
/// # Panics
///
/// If what is changed has another size.
pub fn change_weights<M: Network + Module>(network: M, change: &mut ChangeWeight<'_>) -> M {
    network.map(&mut Changer { keys: M::KEYS, path: Vec::new(), change })
}

struct Changer<'a, 'b> {
    keys: KeyMap,
    /// Names of modules, the outermost first, and what each is a part of.
    path: Vec<(String, String)>,
    change: &'a mut ChangeWeight<'b>,
}

impl Changer<'_, '_> {
    /// The name in checkpoints of what is looked at, a weight's without `.weight`; none if it is neither
    /// weight nor bias.
    fn name(&self) -> Option<String> {
        // which of two kinds a layer is, checkpoints do not say in its name
        let named = self.path.iter().filter(|(_, kind)| !kind.starts_with("Enum:"));
        let name = named.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
        let name = self.keys.original(&name);
        match name.strip_suffix(".weight") {
            Some(layer) => Some(layer.into()),
            None => name.ends_with(".bias").then_some(name),
        }
    }
}

impl ModuleMapper for Changer<'_, '_> {
    fn enter_module(&mut self, name: &str, kind: &str) {
        self.path.push((name.into(), kind.into()));
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(name) = self.name() else { return param };
        let weight = param.val();
        let (shape, dtype) = (weight.dims(), weight.dtype());
        // burn has the inputs first in linear layers alone
        let inputs_first =
            D == 2 && self.path.last().is_some_and(|(_, kind)| kind == "Struct:Linear");
        let matrix = if inputs_first {
            weight.reshape([shape[0], shape[1]])
        } else {
            weight.reshape([shape[0] as i32, -1]).transpose()
        };
        let Some(changed) = (self.change)(&name, matrix) else { return param };
        let changed = if inputs_first { changed } else { changed.transpose() };
        Param::initialized(ParamId::new(), changed.reshape(shape).cast(dtype))
    }
}
