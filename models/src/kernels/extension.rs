//! How a kernel of ours becomes an operation of burn's, with its own gradient.

use std::{borrow::Cow, fmt::Debug};

#[cfg(feature = "autodiff")]
use burn::backend::DispatchTensor;
use burn::{
    backend::{Flex, flex::FlexTensor},
    module::Param,
    tensor::{DType, Device, Shape, Tensor, TensorData, bf16, f16},
};

use super::spent::{KernelKind, counted};
#[cfg(feature = "autodiff")]
use crate::operation::{self, Operation};
use crate::precision::{is_low, widened};

/// An operation on f32 tensors of burn's CPU backend; all weights are its own. Tensors of f16 and
/// bf16 are cast to f32 and back around it.
pub(super) trait Kernel<const N: usize>: Clone + Debug + Send + 'static {
    /// What the gradient needs of the forward pass.
    type State: Clone + Debug + Send + 'static;

    const KIND: KernelKind;

    /// Multiplications and additions of the forward pass's products.
    fn operations(&self) -> usize {
        0
    }

    /// The inputs' values follow each other, in rows.
    fn forward(&self, inputs: [&[f32]; N]) -> (Vec<f32>, Shape);

    /// What the gradient needs of the inputs.
    fn state(&self, inputs: [FlexTensor; N]) -> Self::State;

    /// The gradients of those inputs that are `wanted`, given the output's.
    fn backward(
        &self,
        state: Self::State,
        gradient: &[f32],
        wanted: [bool; N],
    ) -> [Option<FlexTensor>; N];
}

pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// The values of an f32 tensor made contiguous by [`contiguous`].
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("an f32 tensor, made contiguous")
}

fn contiguous(tensor: FlexTensor) -> FlexTensor {
    match tensor.as_slice::<f32>() {
        Some(_) => tensor,
        None => tensor.to_contiguous(),
    }
}

/// Weights that carry no gradient and lie on burn's CPU backend, in their own type: for
/// [`widened_values`].
pub(super) fn stored<const D: usize>(weight: &Param<Tensor<D>>) -> Option<FlexTensor> {
    let weight = weight.val();
    if !on_flex(&weight) {
        return None;
    }
    weight.try_into_primitive::<Flex>().ok().map(|weight| weight.to_contiguous())
}

/// The values of a contiguous tensor in f32, for as long as they are needed.
pub(super) fn widened_values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    if let Some(values) = tensor.as_slice::<f16>() {
        return values.iter().map(|value| value.to_f32()).collect();
    }
    if let Some(values) = tensor.as_slice::<bf16>() {
        return values.iter().map(|value| value.to_f32()).collect();
    }
    values(tensor).into()
}

/// The values, in f32, of small weights that carry no gradient and lie on burn's CPU backend.
pub(super) fn frozen<const D: usize>(weight: &Param<Tensor<D>>) -> Option<FlexTensor> {
    untracked(&weight.val())
}

/// The values, in f32, of a tensor that carries no gradient and lies on burn's CPU backend.
pub(super) fn untracked<const D: usize>(x: &Tensor<D>) -> Option<FlexTensor> {
    if !on_flex(x) {
        return None;
    }
    widened(x.clone()).try_into_primitive::<Flex>().ok().map(contiguous)
}

fn on_flex<const D: usize>(x: &Tensor<D>) -> bool {
    (x.dtype() == DType::F32 || is_low(x.dtype())) && x.device().inner() == Device::flex()
}

/// Applies the kernel, if all inputs are f32, f16 or bf16 on burn's CPU backend.
pub(super) fn apply<const D: usize, const N: usize, K: Kernel<N>>(
    kernel: K,
    inputs: [&Tensor<D>; N],
) -> Option<Tensor<D>> {
    if !inputs.iter().all(|input| on_flex(input)) {
        return None;
    }
    let dtype = inputs.first()?.dtype();
    let inputs = inputs.map(|input| widened(input.clone()));
    apply_in_f32(kernel, inputs.each_ref()).map(|output| output.cast(dtype))
}

fn apply_in_f32<const D: usize, const N: usize, K: Kernel<N>>(
    kernel: K,
    inputs: [&Tensor<D>; N],
) -> Option<Tensor<D>> {
    #[cfg(feature = "autodiff")]
    if inputs.iter().any(|input| input.gradient_checkpointing_strategy().is_some()) {
        let inputs = inputs.map(|input| input.clone().into_dispatch());
        return Some(Tensor::from_dispatch(operation::apply(&Recorded(kernel), inputs)));
    }
    let inputs = primitives(inputs.map(|input| input.clone().try_into_primitive::<Flex>().ok()))?;
    Some(Tensor::from_primitive::<Flex>(run(&kernel, &inputs.map(contiguous))))
}

fn run<const N: usize, K: Kernel<N>>(kernel: &K, inputs: &[FlexTensor; N]) -> FlexTensor {
    let inputs = inputs.each_ref().map(values);
    let (output, shape) = counted(K::KIND, kernel.operations(), || kernel.forward(inputs));
    tensor(output, shape)
}

/// All of them, or nothing.
fn primitives<T, const N: usize>(inputs: [Option<T>; N]) -> Option<[T; N]> {
    let inputs: Vec<T> = inputs.into_iter().collect::<Option<_>>()?;
    inputs.try_into().ok()
}

/// A kernel as an operation that burn's graph takes.
#[cfg(feature = "autodiff")]
#[derive(Clone, Debug)]
struct Recorded<K>(K);

#[cfg(feature = "autodiff")]
impl<const N: usize, K: Kernel<N>> Operation<N> for Recorded<K> {
    type State = K::State;

    fn forward(&self, inputs: [DispatchTensor; N]) -> (DispatchTensor, Self::State) {
        let inputs = inputs.map(on_cpu);
        let output = run(&self.0, &inputs);
        (dispatched(output), self.0.state(inputs))
    }

    fn backward(
        self,
        state: Self::State,
        gradient: DispatchTensor,
        wanted: [bool; N],
    ) -> [Option<DispatchTensor>; N] {
        let gradient = on_cpu(gradient);
        let operations = match K::KIND {
            // two products, of which it computes one again, and two gradients for each
            KernelKind::Attention => self.0.operations() / 2 * 5,
            _ => self.0.operations(),
        };
        let backward = || self.0.backward(state, values(&gradient), wanted);
        counted(K::KIND, operations, backward).map(|found| found.map(dispatched))
    }
}

#[cfg(feature = "autodiff")]
fn on_cpu(tensor: DispatchTensor) -> FlexTensor {
    let tensor = Tensor::<1>::from_dispatch(tensor).try_into_primitive::<Flex>();
    contiguous(tensor.expect("`apply` takes tensors of the CPU backend alone"))
}

#[cfg(feature = "autodiff")]
fn dispatched(tensor: FlexTensor) -> DispatchTensor {
    Tensor::<1>::from_primitive::<Flex>(tensor).into_dispatch()
}
