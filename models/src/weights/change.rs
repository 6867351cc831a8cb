//! Weights of a loaded network exchanged for others, by their names in checkpoints.

use burn::{
    module::{Module, ModuleMapper, Param, ParamId},
    tensor::Tensor,
};

use super::{KeyMap, Network};

/// Gives the weight that takes the place of one, or none where it stays: told its name in checkpoints
/// without `.weight`, and the weight as a matrix, `[inputs, outputs]`; the inputs of a convolution
/// are those under its kernel, `channels_in * height * width`, and the outputs of a table of embeddings
/// are its rows.
pub type ChangeWeight<'a> = dyn FnMut(&str, Tensor<2>) -> Option<Tensor<2>> + 'a;

/// The same network after `change` was asked about the weight of every linear layer, every
/// convolution and every table of embeddings. What it gives has the shape that it was told, and is
/// cast to the weight's own type; tracked by autodiff, it makes the network's outputs tracked.
///
/// # Panics
///
/// If a changed weight has another size.
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
    /// The name in checkpoints of the weight that is looked at, without `.weight`, and whether its
    /// inputs come first, as burn has them in linear layers alone; none if it is that of a norm, or no
    /// weight.
    fn layer(&self) -> Option<(String, bool)> {
        let (last, kind) = self.path.last()?;
        let is_linear = kind == "Struct:Linear";
        let changes = is_linear || ["Struct:Conv2d", "Struct:Embedding"].contains(&kind.as_str());
        if last != "weight" || !changes {
            return None;
        }
        // which of two kinds a layer is, checkpoints do not say in its name
        let named = self.path.iter().filter(|(_, kind)| !kind.starts_with("Enum:"));
        let name = named.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
        Some((self.keys.original(&name).strip_suffix(".weight")?.to_string(), is_linear))
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
        let Some((layer, is_linear)) = self.layer() else { return param };
        let weight = param.val();
        let (shape, dtype) = (weight.dims(), weight.dtype());
        let matrix = if is_linear {
            weight.reshape([shape[0], shape[1]])
        } else {
            weight.reshape([shape[0] as i32, -1]).transpose()
        };
        let Some(changed) = (self.change)(&layer, matrix) else { return param };
        let changed = if is_linear { changed } else { changed.transpose() };
        Param::initialized(ParamId::new(), changed.reshape(shape).cast(dtype))
    }
}
