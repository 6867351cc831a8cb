//! The fixed batch of a run and its shares, as they are asked for.

use std::{
    cell::{RefCell, RefMut},
    collections::BTreeMap,
};

use burn::tensor::Tensor;

use super::{EvaluationDraws, FixedBatch};
use crate::{
    concept::ConceptWeights,
    objective::{DiffusionObjective, Share},
};

/// The whole batch, or those shares of it that are asked for: each is prepared the first time.
#[derive(Debug)]
pub(crate) struct FixedBatches {
    draws: EvaluationDraws,
    triple: bool,
    each_input: bool,
    /// Also by whether the intervals of time steps are there.
    prepared: RefCell<BTreeMap<(Share, bool), FixedBatch>>,
}

impl FixedBatches {
    pub(crate) fn new(draws: EvaluationDraws, triple: bool, each_input: bool) -> Self {
        Self { draws, triple, each_input, prepared: RefCell::default() }
    }

    /// Drops what was prepared: it is prepared again where it is asked for.
    pub(crate) fn forget(&self) {
        self.prepared.borrow_mut().clear();
    }

    /// The means over a share's inputs, and the losses of single inputs: see [`FixedBatch::losses`].
    pub(crate) fn losses(
        &self,
        objective: &DiffusionObjective,
        weights: &ConceptWeights,
        evaluation: usize,
        share: Share,
    ) -> (Vec<Tensor<1>>, Vec<Tensor<1>>) {
        self.share(objective, share, self.triple).losses(objective, weights, evaluation)
    }

    /// A share's mean loss under each concept, of the whole schedule alone: see
    /// [`FixedBatch::losses_side_by_side`].
    pub(crate) fn losses_side_by_side(
        &self,
        objective: &DiffusionObjective,
        concepts: &[ConceptWeights],
        share: Share,
    ) -> Tensor<1> {
        self.share(objective, share, false).losses_side_by_side(objective, concepts)
    }

    fn share(
        &self,
        objective: &DiffusionObjective,
        share: Share,
        triple: bool,
    ) -> RefMut<'_, FixedBatch> {
        let prepare = || {
            let batch = FixedBatch::from_draws(objective, self.draws.clone(), triple, share);
            if self.each_input { batch.with_each_input() } else { batch }
        };
        let prepared = self.prepared.borrow_mut();
        RefMut::map(prepared, |prepared| prepared.entry((share, triple)).or_insert_with(prepare))
    }
}
