//! Tensors that are called otherwise in checkpoints than in our structs. Each network names its own.

use burn::store::{KeyRemapper, ModuleSnapshot};

/// A network that can be loaded from a checkpoint.
pub trait Network: ModuleSnapshot {
    /// How checkpoints name its tensors.
    const KEYS: KeyMap;
}

/// How the checkpoints of one network name its tensors, where they do not by our structs.
#[derive(Clone, Copy, Debug)]
pub struct KeyMap {
    /// Checkpoint name (a regular expression), our name.
    pub renames: &'static [(&'static str, &'static str)],
    /// Our name, checkpoint name: for messages.
    pub originals: &'static [(&'static str, &'static str)],
    /// What files may hold beyond the weights, and no forward pass here reads: tensors by the last
    /// words of their names, and whole parts by their first, which end in a dot.
    pub unused: &'static [&'static str],
}

/// Our name, checkpoint name of what burn's layers call otherwise.
const BURN: [(&str, &str); 2] = [(".gamma", ".weight"), (".beta", ".bias")];

impl KeyMap {
    /// All tensors are called as in our structs.
    pub const SAME: Self = Self { renames: &[], originals: &[], unused: &[] };

    /// Checkpoint names to ours.
    pub(super) fn remapper(&self) -> Result<KeyRemapper, String> {
        KeyRemapper::from_patterns(self.renames.to_vec()).map_err(|error| error.to_string())
    }

    /// What a tensor of ours is called in a checkpoint.
    pub(super) fn original(&self, name: &str) -> String {
        let pairs = self.originals.iter().chain(&BURN);
        pairs.fold(name.to_string(), |name, (ours, theirs)| name.replace(ours, theirs))
    }

    /// Whether a tensor may be there without being used.
    pub(super) fn is_unused(&self, name: &str) -> bool {
        self.unused.iter().any(|unused| match unused.strip_suffix('.') {
            Some(_) => name.starts_with(unused),
            None => name.strip_suffix(unused).is_some_and(|n| n.is_empty() || n.ends_with('.')),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_tensors_are_known_by_their_end_and_unused_parts_by_their_beginning() {
        let keys = KeyMap { unused: &["position_ids", "pooler."], ..KeyMap::SAME };
        for name in ["position_ids", "a.position_ids", "pooler.dense.weight"] {
            assert!(keys.is_unused(name), "{name}");
        }
        for name in ["my_position_ids", "position_ids.a", "a.pooler.weight", "poolers"] {
            assert!(!keys.is_unused(name), "{name}");
        }
    }
}
