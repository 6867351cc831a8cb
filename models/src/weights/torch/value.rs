//! What a pickle holds, as its readers see it.

use std::collections::HashMap;

use super::objects::{Index, Object, Objects};

/// One object of a file.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    pub(super) objects: &'a Objects,
    pub(super) index: Index,
}

impl<'a> Value<'a> {
    /// The entries with text keys of a dictionary or `ParameterDict`, none for anything else. Of
    /// equal keys the last counts, as in Python.
    pub fn entries(self) -> HashMap<&'a str, Value<'a>> {
        let Self { objects, index } = self;
        let entries = objects.entries(index).into_iter();
        entries.map(|(key, index)| (key, Value { objects, index })).collect()
    }

    /// The text, if it is one.
    pub fn text(self) -> Option<&'a str> {
        self.objects.text(self.index)
    }

    /// Whether it is a tensor.
    pub fn is_tensor(self) -> bool {
        matches!(self.objects.get(self.index), Object::Tensor { .. })
    }

    /// How many tensors a list of nothing else holds; none for anything else.
    pub fn tensors_in_list(self) -> Option<usize> {
        let Self { objects, index } = self;
        let Object::List(items) = objects.get(index) else { return None };
        let all = items.iter().all(|item| Value { objects, index: *item }.is_tensor());
        (all && !items.is_empty()).then_some(items.len())
    }
}
