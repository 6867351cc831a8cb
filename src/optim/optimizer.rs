//! What every optimiser does.

use std::fmt::Debug;

use burn::tensor::Tensor;

/// An optimiser of several parameters, with its memory of each.
///
/// Every list of parameters or gradients has the same order and shapes, throughout a run. All
/// tensors are without autodiff.
pub trait Optimizer: Debug {
    /// Where a second gradient must be taken before the update, for optimisers that want one, such
    /// as SAM; most want none.
    fn ascend(
        &self,
        _parameters: &[Tensor<2>],
        _gradients: &[Tensor<2>],
    ) -> Option<Vec<Tensor<2>>> {
        None
    }

    /// The parameters after one update. The gradients are those taken at the place that
    /// [`ascend`](Self::ascend) gave, where it gave one.
    fn update(
        &mut self,
        parameters: Vec<Tensor<2>>,
        gradients: Vec<Tensor<2>>,
        learning_rate: f64,
    ) -> Vec<Tensor<2>>;

    /// What is remembered, for a checkpoint: by name, a tensor of each parameter's shape for each
    /// parameter. An optimiser that remembers nothing needs neither this nor
    /// [`restore`](Self::restore).
    fn memory(&self) -> Vec<(&'static str, Vec<Tensor<2>>)> {
        Vec::new()
    }

    /// Takes back the lists that [`memory`](Self::memory) gave after `updates` updates, in its
    /// order.
    fn restore(&mut self, _updates: usize, _memory: Vec<Vec<Tensor<2>>>) {}
}

/// The settings of an optimiser, of which each run makes its own.
pub trait OptimizerConfig: Debug + Send + Sync {
    /// An optimiser that has seen nothing, for parameters of these shapes and this device.
    fn init(&self, parameters: &[Tensor<2>]) -> Box<dyn Optimizer>;
}
