//! The objects that a pickle of tensors is made of, and the globals that may make them.

use std::collections::{HashMap, HashSet};

use burn::tensor::{BoolStore, DType};

use super::TorchError;

/// The most dimensions of a tensor, which keeps a shape that many tensors share from being copied
/// at length.
const LARGEST_RANK: usize = 8;
/// The longest key of a storage; PyTorch's are numbers.
const LONGEST_KEY: usize = 64;
/// How much of a refused global's name is told.
const SHOWN: usize = 100;

/// The place of an object in its table. Objects refer to each other by place, so sharing and
/// cycles cost nothing and nothing here recurses.
pub(super) type Index = u32;

#[derive(Debug)]
pub(super) enum Object {
    None,
    /// Numbers and sets that no reader needs.
    Ignored,
    Boolean(bool),
    Integer(i64),
    Text(Box<str>),
    Tuple(Vec<Index>),
    List(Vec<Index>),
    Dict(Vec<(Index, Index)>),
    Global(Global),
    /// The values of tensors; `key` names them inside the file.
    Storage {
        dtype: DType,
        key: Index,
    },
    /// A view of a storage, counted in values.
    Tensor {
        storage: Index,
        offset: Index,
        shape: Index,
        stride: Index,
    },
    /// A `ParameterDict` and, once they are set, its attributes.
    ParameterDict(Option<Index>),
}

/// What becomes of Python objects that tensors do not need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Foreign {
    /// The file is refused.
    #[default]
    Refused,
    /// They stand for nothing: a trainer's callbacks and settings.
    Skipped,
}

/// The globals that may occur.
#[derive(Clone, Copy, Debug)]
pub(super) enum Global {
    OrderedDict,
    Set,
    RebuildTensor,
    RebuildParameter,
    ParameterDict,
    Storage(DType),
    /// What tensors do not need: may be named, and is never made.
    Foreign,
}

impl Global {
    pub fn named(module: &str, name: &str, foreign: Foreign) -> Result<Self, TorchError> {
        let known = match (module, name) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("__builtin__" | "builtins", "set") => Some(Global::Set),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                Some(Global::RebuildTensor)
            }
            // by which alone PyTorch saves types without a storage of their own
            ("torch._utils", "_rebuild_tensor_v3") => return Err(TorchError::Type),
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("torch.nn.modules.container", "ParameterDict") => Some(Global::ParameterDict),
            ("torch", class) => storage_type(class).map(Global::Storage),
            _ => None,
        };
        match (known, foreign) {
            (Some(global), _) => Ok(global),
            (None, Foreign::Skipped) => Ok(Global::Foreign),
            // made but once, as it ends the reading: a pickle can name the same long ones again and again
            (None, Foreign::Refused) => {
                let name = format!("{module}.{name}");
                Err(TorchError::ForeignGlobal(name.chars().take(SHOWN).collect()))
            }
        }
    }
}

/// The type of the values in a storage of a Python class.
fn storage_type(class: &str) -> Option<DType> {
    Some(match class {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}

/// All objects of one pickle.
#[derive(Debug, Default)]
pub(super) struct Objects(Vec<Object>);

impl Objects {
    pub fn add(&mut self, object: Object) -> Index {
        self.0.push(object);
        // The pickle's length bounds the number of objects far below this type's limit.
        (self.0.len() - 1) as Index
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, index: Index) -> &Object {
        // Every index comes from `add`, and no object is ever removed.
        &self.0[index as usize]
    }

    pub fn get_mut(&mut self, index: Index) -> &mut Object {
        &mut self.0[index as usize]
    }

    /// What calling `callable` with the tuple `arguments` makes.
    pub fn call(&mut self, callable: Index, arguments: Index) -> Result<Index, TorchError> {
        let (Object::Global(global), Object::Tuple(arguments)) =
            (self.get(callable), self.get(arguments))
        else {
            return Err(TorchError::Pickle("a call of something that cannot be called"));
        };
        let made = match (global, &arguments[..]) {
            (Global::OrderedDict, []) => Object::Dict(Vec::new()),
            (Global::OrderedDict, [items]) => {
                let items = *items;
                Object::Dict(self.take_pairs(items)?)
            }
            (Global::Set | Global::Foreign, _) => Object::Ignored,
            (Global::ParameterDict, []) => Object::ParameterDict(None),
            (Global::RebuildParameter, [data, ..]) => return Ok(*data),
            (Global::RebuildTensor, [storage, offset, shape, stride, ..]) => Object::Tensor {
                storage: *storage,
                offset: *offset,
                shape: *shape,
                stride: *stride,
            },
            _ => return Err(TorchError::Pickle("a call with arguments of another form")),
        };
        Ok(self.add(made))
    }

    /// The pairs in a list of lists of two, by which Python 2 filled a dictionary. It wrote the
    /// list for this alone; taken out of it, a list that is called for again costs nothing.
    fn take_pairs(&mut self, items: Index) -> Result<Vec<(Index, Index)>, TorchError> {
        const WRONG: TorchError = TorchError::Pickle("a dictionary of another form");
        let Object::List(items) = self.get_mut(items) else { return Err(WRONG) };
        let items = std::mem::take(items);
        let pair = |item: &Index| match self.get(*item) {
            Object::List(pair) | Object::Tuple(pair) => match pair[..] {
                [key, value] => Ok((key, value)),
                _ => Err(WRONG),
            },
            _ => Err(WRONG),
        };
        items.iter().map(pair).collect()
    }

    /// What a persistent id stands for: a storage, on whatever device it was,
    /// `("storage", class, key, device, number of values)`, in bare pickles also with a view; or there
    /// the class of a module, `("module", class, file, source)`.
    pub fn persistent(&mut self, id: Index) -> Result<Index, TorchError> {
        let wrong = TorchError::Pickle("a storage of another form");
        let Object::Tuple(parts) = self.get(id) else { return Err(wrong) };
        if let [kind, class, _, _] = parts[..]
            && self.text(kind) == Some("module")
        {
            return Ok(class);
        }
        let [kind, class, key, _, _, view @ ..] = &parts[..] else { return Err(wrong) };
        let Object::Global(Global::Storage(dtype)) = self.get(*class) else { return Err(wrong) };
        if self.text(*kind) != Some("storage")
            || !view.iter().all(|view| matches!(self.get(*view), Object::None))
        {
            return Err(wrong);
        }
        // The key becomes part of a name in the archive.
        let plain = |key: &str| {
            (1..=LONGEST_KEY).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if !self.text(*key).is_some_and(plain) {
            return Err(TorchError::Pickle("a storage's key is not plain"));
        }
        let storage = Object::Storage { dtype: *dtype, key: *key };
        Ok(self.add(storage))
    }

    /// The key and number type of every storage.
    pub fn storages(&self) -> impl Iterator<Item = (&str, DType)> {
        self.0.iter().filter_map(|object| match object {
            Object::Storage { dtype, key } => Some((self.text(*key)?, *dtype)),
            _ => None,
        })
    }

    pub fn text(&self, index: Index) -> Option<&str> {
        match self.get(index) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn size(&self, index: Index) -> Option<usize> {
        match self.get(index) {
            Object::Integer(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// A tuple of sizes or strides.
    pub fn sizes(&self, index: Index) -> Option<Vec<usize>> {
        match self.get(index) {
            Object::Tuple(items) if items.len() <= LARGEST_RANK => {
                items.iter().map(|item| self.size(*item)).collect()
            }
            _ => None,
        }
    }

    /// The entries with text keys of a dictionary or `ParameterDict`, none for anything else. Of
    /// equal keys the last counts, as in Python.
    pub fn entries(&self, index: Index) -> HashMap<&str, Index> {
        match self.get(index) {
            Object::Dict(pairs) => {
                let mut entries = HashMap::new();
                for (key, value) in last_of_each(pairs) {
                    if let Some(text) = self.text(*key) {
                        entries.entry(text).or_insert(*value);
                    }
                }
                entries
            }
            // An `nn.Module`, which keeps its items in this attribute.
            Object::ParameterDict(Some(attributes)) => match self.get(*attributes) {
                Object::Dict(pairs) => pairs
                    .iter()
                    .rfind(|(key, _)| self.text(*key) == Some("_parameters"))
                    .filter(|(_, items)| matches!(self.get(*items), Object::Dict(_)))
                    .map_or_else(HashMap::new, |(_, items)| self.entries(*items)),
                _ => HashMap::new(),
            },
            _ => HashMap::new(),
        }
    }
}

/// The pairs from the last to the first, each key once: a long text may be the key of many, and is told from
/// others by its place first.
pub(super) fn last_of_each(pairs: &[(Index, Index)]) -> impl Iterator<Item = &(Index, Index)> {
    let mut seen = HashSet::new();
    pairs.iter().rev().filter(move |(key, _)| seen.insert(*key))
}
