//! What tests of operations have in common: numbers for them, and how they are compared.

// Tests run natively, where blocking reads are fine.
#![allow(clippy::disallowed_methods)]

use burn::tensor::{Device, Tensor, TensorData};

/// Numbers in -2 to 2 that look drawn, others for each `seed`.
pub(crate) fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let values = (0..shape.iter().product::<usize>())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 22) as f32 - 2.0
        })
        .collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(values, shape), device)
}

pub(crate) fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

/// The largest difference in units of the largest expected value, or of 1.
pub(crate) fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1.0, |a: f32, b| a.max(b.abs()));
    found.iter().zip(expected).fold(0.0, |a: f32, (x, y)| a.max((x - y).abs())) / size
}

/// Output and gradients under a made-up gradient of the output.
pub(crate) fn run<const D: usize, const E: usize, const N: usize>(
    inputs: &[Tensor<D>; N],
    function: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) -> Vec<Vec<f32>> {
    let inputs = inputs.clone().map(|x| x.autodiff().require_grad());
    let output = function(inputs.clone());
    let weights = tensor(output.dims(), 77, &output.device().inner()).cast(output.dtype());
    let gradients = (output.clone() * weights.autodiff()).sum().backward();
    let mut found = vec![values(output.inner())];
    found.extend(inputs.iter().map(|x| values(x.grad(&gradients).expect("a gradient"))));
    found
}
