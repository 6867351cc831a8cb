//! How an operation of ours enters burn's graph with its own gradient, on whatever backend its
//! tensors lie.

use std::fmt::Debug;

use burn::backend::DispatchTensor;

/// A function of several tensors. Both passes get and give tensors without a graph, on one device;
/// all other tensors they use are their own and carry no gradient.
pub(crate) trait Operation<const N: usize>: Clone + Debug + Send + 'static {
    /// What the gradient needs of the forward pass.
    type State: Clone + Debug + Send + 'static;

    fn forward(&self, inputs: [DispatchTensor; N]) -> (DispatchTensor, Self::State);

    /// The gradients of those inputs that are `wanted`, given the output's.
    fn backward(
        self,
        state: Self::State,
        gradient: DispatchTensor,
        wanted: [bool; N],
    ) -> [Option<DispatchTensor>; N];
}

/// Applies the operation. On a backend that this package was built without, its forward pass is
/// recorded step by step.
pub(crate) fn apply<const N: usize, O: Operation<N>>(
    operation: &O,
    inputs: [DispatchTensor; N],
) -> DispatchTensor {
    #[cfg(feature = "autodiff")]
    if let Some(output) = tracked::apply(operation, &inputs) {
        return output;
    }
    operation.forward(inputs).0
}

#[cfg(feature = "autodiff")]
mod tracked {
    use burn::{
        backend::{
            Autodiff, Backend, DispatchAutodiffContext, DispatchKindConversion, DispatchTensor,
            GradientCheckpointingStrategy,
            autodiff::{
                checkpoint::{
                    base::Checkpointer,
                    strategy::{BalancedCheckpointing, CheckpointStrategy, NoCheckpointing},
                },
                grads::Gradients,
                ops::{Backward, Ops, OpsKind},
            },
            tensor::FloatTensor,
        },
        tensor::Tensor,
    };

    use super::{Debug, Operation};

    /// Nothing where no input is under autodiff, or the backend is none of those below.
    pub(super) fn apply<const N: usize, O: Operation<N>>(
        operation: &O,
        inputs: &[DispatchTensor; N],
    ) -> Option<DispatchTensor> {
        let strategy = inputs.iter().find_map(|input| match input.autodiff {
            DispatchAutodiffContext::Enabled(strategy) => Some(strategy),
            DispatchAutodiffContext::Disabled => None,
        })?;
        let inputs = inputs.each_ref().map(|input| {
            let input = erased(input.clone()).autodiff();
            input.with_gradient_checkpointing_strategy(strategy).into_dispatch()
        });
        #[cfg(feature = "flex")]
        if let Some(output) = on::<burn::backend::Flex, N, O>(operation, &inputs, strategy) {
            return Some(output);
        }
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)]
        if let Some(output) = on::<burn::backend::NdArray, N, O>(operation, &inputs, strategy) {
            return Some(output);
        }
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        if let Some(output) = on::<burn::backend::Cube, N, O>(operation, &inputs, strategy) {
            return Some(output);
        }
        None
    }

    #[cfg_attr(
        not(any(feature = "flex", feature = "ndarray", feature = "wgpu", feature = "cuda")),
        allow(dead_code)
    )]
    fn on<B: Backend, const N: usize, O: Operation<N>>(
        operation: &O,
        inputs: &[DispatchTensor; N],
        strategy: GradientCheckpointingStrategy,
    ) -> Option<DispatchTensor>
    where
        DispatchTensor: DispatchKindConversion<B>
            + DispatchKindConversion<Autodiff<B, NoCheckpointing>>
            + DispatchKindConversion<Autodiff<B, BalancedCheckpointing>>,
    {
        match strategy {
            GradientCheckpointingStrategy::Disabled => {
                record::<B, NoCheckpointing, N, O>(operation, inputs)
            }
            GradientCheckpointingStrategy::Balanced => {
                record::<B, BalancedCheckpointing, N, O>(operation, inputs)
            }
        }
    }

    fn record<B: Backend, C: CheckpointStrategy, const N: usize, O: Operation<N>>(
        operation: &O,
        inputs: &[DispatchTensor; N],
    ) -> Option<DispatchTensor>
    where
        DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B, C>>,
    {
        let mut recorded = Vec::with_capacity(N);
        for input in inputs {
            let input = erased(input.clone()).try_into_primitive::<Autodiff<B, C>>();
            recorded.push(input.ok()?.into_parts());
        }
        let (inputs, nodes): (Vec<_>, Vec<_>) = recorded.into_iter().unzip();
        let inputs: Vec<DispatchTensor> = inputs.into_iter().map(wrap::<B>).collect();
        let (output, state) = operation.forward(inputs.try_into().ok()?);
        let output = unwrap::<B>(output)?;
        let gradient = Gradient(operation.clone());
        let prepared = gradient.prepare::<C>(nodes.try_into().ok()?).compute_bound();
        let output = match prepared.stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(state, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        };
        Some(Tensor::<1>::from_primitive::<Autodiff<B, C>>(output).into_dispatch())
    }

    #[derive(Debug)]
    struct Gradient<O: Debug>(O);

    impl<B: Backend, const N: usize, O: Operation<N>> Backward<B, N> for Gradient<O>
    where
        DispatchTensor: DispatchKindConversion<B>,
    {
        type State = O::State;

        fn backward(
            self,
            ops: Ops<Self::State, N>,
            gradients: &mut Gradients,
            _: &mut Checkpointer,
        ) {
            let gradient = wrap::<B>(gradients.consume::<B>(&ops.node));
            let wanted = ops.parents.each_ref().map(Option::is_some);
            let found = self.0.backward(ops.state, gradient, wanted);
            for (parent, gradient) in ops.parents.into_iter().zip(found) {
                if let (Some(parent), Some(gradient)) = (parent, gradient.and_then(unwrap::<B>)) {
                    gradients.register::<B>(parent.id, gradient);
                }
            }
        }
    }

    /// A tensor whose number of dimensions is left to whoever uses it.
    fn erased(tensor: DispatchTensor) -> Tensor<1> {
        Tensor::from_dispatch(tensor)
    }

    fn wrap<B: Backend>(tensor: FloatTensor<B>) -> DispatchTensor
    where
        DispatchTensor: DispatchKindConversion<B>,
    {
        Tensor::<1>::from_primitive::<B>(tensor).into_dispatch()
    }

    fn unwrap<B: Backend>(tensor: DispatchTensor) -> Option<FloatTensor<B>>
    where
        DispatchTensor: DispatchKindConversion<B>,
    {
        erased(tensor).try_into_primitive::<B>().ok()
    }
}
