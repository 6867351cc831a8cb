//! Gradient checkpointing (Chen et al. 2016): a block's graph is not kept, but recorded again, from
//! the block's inputs, when its gradient is asked for.
//!
//! burn's own recomputes single operations, and none of them next to a frozen weight.

use std::fmt;

use burn::{backend::DispatchTensor, tensor::Tensor};

use crate::operation::{Operation, apply};

/// Most trained weights of a block.
const WEIGHTS: usize = 14;
/// Inputs in all.
const MOST: usize = 2 + WEIGHTS;

/// `block(inputs, weights)`, whose graph is recorded in the backward pass alone. All tracked
/// tensors that the block uses must be among the two.
pub(crate) fn recomputed<const D: usize, F>(
    inputs: [DispatchTensor; 2],
    weights: Vec<DispatchTensor>,
    block: F,
) -> Tensor<D>
where
    F: Fn([DispatchTensor; 2], Vec<DispatchTensor>) -> Tensor<D> + Clone + Send + 'static,
{
    let count = weights.len();
    if count > WEIGHTS {
        return block(inputs, weights);
    }
    // Takes the place of weights that there are not: no block uses it, no gradient reaches it.
    let none = Tensor::<1>::from_dispatch(inputs[0].clone()).inner().into_dispatch();
    let mut inputs = inputs.into_iter().chain(weights);
    let inputs = std::array::from_fn(|_| inputs.next().unwrap_or_else(|| none.clone()));
    Tensor::from_dispatch(apply(&Recomputed::<F, D> { block, weights: count }, inputs))
}

#[derive(Clone)]
struct Recomputed<F, const D: usize> {
    block: F,
    /// How many inputs are weights of the block.
    weights: usize,
}

impl<F, const D: usize> Recomputed<F, D>
where
    F: Fn([DispatchTensor; 2], Vec<DispatchTensor>) -> Tensor<D>,
{
    fn run(&self, inputs: [DispatchTensor; MOST]) -> Tensor<D> {
        let [x, y, weights @ ..] = inputs;
        (self.block)([x, y], weights.into_iter().take(self.weights).collect())
    }
}

impl<F, const D: usize> fmt::Debug for Recomputed<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recomputed")
    }
}

impl<F, const D: usize> Operation<MOST> for Recomputed<F, D>
where
    F: Fn([DispatchTensor; 2], Vec<DispatchTensor>) -> Tensor<D> + Clone + Send + 'static,
{
    type State = [DispatchTensor; MOST];

    fn forward(&self, inputs: Self::State) -> (DispatchTensor, Self::State) {
        (self.run(inputs.clone()).into_dispatch(), inputs)
    }

    fn backward(
        self,
        inputs: Self::State,
        gradient: DispatchTensor,
        wanted: [bool; MOST],
    ) -> [Option<DispatchTensor>; MOST] {
        let mut wanted = wanted.into_iter();
        let inputs = inputs.map(|input| match wanted.next() {
            Some(true) => Tensor::<1>::from_dispatch(input).autodiff().require_grad(),
            _ => Tensor::from_dispatch(input),
        });
        let output = self.run(inputs.clone().map(Tensor::into_dispatch));
        let gradient = Tensor::<D>::from_dispatch(gradient).autodiff();
        // burn begins with a one for each value, so that no sum is needed
        let mut gradients = (output * gradient).backward();
        inputs.map(|input| {
            if input.is_require_grad() {
                input.grad_remove(&mut gradients).map(Tensor::into_dispatch)
            } else {
                None
            }
        })
    }
}
