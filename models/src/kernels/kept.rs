//! What a kernel makes of frozen weights once, and keeps for as long as they are there.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use burn::{backend::flex::FlexTensor, tensor::Bytes};

/// Weights of more values are laid out whenever they are used: in large networks that takes a small
/// share of the time, and what is kept would take as much memory again as the weights.
const MOST: usize = 1 << 19;

/// What weights are laid out for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Layout {
    /// A layer's way forward, or both of its ways.
    Forward,
    Backward,
    /// Winograd's filters.
    Filters,
}

/// Whether what is made of so many weights is kept.
pub(crate) fn is_small(weights: usize) -> bool {
    weights <= MOST
}

/// Whether what is made of these weights is kept: not of a part of others, which have the same address.
pub(super) fn is_kept(weight: &FlexTensor) -> bool {
    let count = weight.layout().shape().num_elements();
    is_small(count) && weight.data_arc().len() == count * size_of::<f32>()
}

/// What `make` gives for these weights: kept from an earlier call, or made now.
pub(super) fn of(
    weight: &FlexTensor,
    layout: Layout,
    make: impl FnOnce() -> Vec<f32>,
) -> Arc<Vec<f32>> {
    if !is_kept(weight) {
        return Arc::new(make());
    }
    let bytes = weight.data_arc();
    if let Some(kept) = lock().get(&bytes, layout) {
        return kept;
    }
    // outside the lock: threads that meet here first make it twice, with the same result
    let made = Arc::new(make());
    lock().insert(&bytes, layout, made.clone());
    made
}

fn lock() -> std::sync::MutexGuard<'static, Kept> {
    static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Weights that may be gone, and what was made of them.
type Entry = (Weak<Bytes>, Arc<Vec<f32>>);

/// By the address of the weights. Those are not held: while an entry stands, their address is given to
/// nothing else, and whoever changes them in place gets a new one.
#[derive(Default)]
struct Kept(HashMap<(usize, Layout), Entry>);

impl Kept {
    fn get(&self, weight: &Arc<Bytes>, layout: Layout) -> Option<Arc<Vec<f32>>> {
        let (bytes, kept) = self.0.get(&(Arc::as_ptr(weight) as usize, layout))?;
        (bytes.strong_count() > 0).then(|| kept.clone())
    }

    /// What has lost its weights goes.
    fn insert(&mut self, weight: &Arc<Bytes>, layout: Layout, made: Arc<Vec<f32>>) {
        self.0.retain(|_, (bytes, _)| bytes.strong_count() > 0);
        let address = Arc::as_ptr(weight) as usize;
        self.0.insert((address, layout), (Arc::downgrade(weight), made));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::extension::{tensor, values};

    /// The first of the weights, as if they were laid out anew.
    fn first(weight: &FlexTensor) -> Arc<Vec<f32>> {
        of(weight, Layout::Forward, || values(weight)[..1].to_vec())
    }

    #[test]
    fn what_is_kept_goes_with_its_weights() {
        let weight = |value: f32| tensor(vec![value; 64], [8, 8]);
        let one = weight(1.0);
        let kept = first(&one);
        assert!(Arc::ptr_eq(&kept, &first(&one.clone())));
        let watched = Arc::downgrade(&kept);
        drop((kept, one));
        // the same address may come back, with other values
        for value in 2..20 {
            assert_eq!(first(&weight(value as f32))[0], value as f32);
        }
        assert!(watched.upgrade().is_none());
    }

    #[test]
    fn weights_that_are_changed_in_place_are_laid_out_anew() {
        let mut weight = tensor(vec![1.0; 64], [8, 8]);
        assert_eq!(first(&weight)[0], 1.0);
        weight.storage_mut::<f32>()[0] = 5.0;
        assert_eq!(first(&weight)[0], 5.0);
    }
}
