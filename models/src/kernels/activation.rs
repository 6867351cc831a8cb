//! Activations with their gradients, each in one pass.

use burn::{backend::flex::FlexTensor, tensor::Shape};

use super::{
    extension::{Kernel, tensor, values},
    functions::{gelu, gelu_derivative, sigmoid, silu, silu_derivative},
    parallel::{for_each_piece, vectorized},
    spent::KernelKind,
};
use crate::activation::Activation;

/// What is computed in one piece of work.
const PIECE: usize = 4096;
/// Operations for one value, about.
const COST: usize = 8;

/// An activation of tensors of one shape.
#[derive(Clone, Debug)]
pub(super) struct Activated {
    pub function: Activation,
    pub shape: Shape,
}

impl Kernel<1> for Activated {
    type State = FlexTensor;

    const KIND: KernelKind = KernelKind::Activation;

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, Shape) {
        let output = match self.function {
            Activation::QuickGelu => map(x, |x| x * sigmoid(1.702 * x)),
            Activation::Gelu => map(x, gelu),
            Activation::Silu => map(x, silu),
        };
        (output, self.shape.clone())
    }

    fn state(&self, [x]: [FlexTensor; 1]) -> FlexTensor {
        x
    }

    fn backward(&self, x: FlexTensor, gradient: &[f32], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let x = values(&x);
        let gradient = match self.function {
            // The function is silu(1.702 x) / 1.702.
            Activation::QuickGelu => zip(x, gradient, |x, g| g * silu_derivative(1.702 * x)),
            Activation::Gelu => zip(x, gradient, |x, g| g * gelu_derivative(x)),
            Activation::Silu => zip(x, gradient, |x, g| g * silu_derivative(x)),
        };
        [Some(tensor(gradient, self.shape.clone()))]
    }
}

fn map(x: &[f32], function: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let mut output = vec![0.0; x.len()];
    for_each_piece(&mut output, PIECE, COST, |i, output| {
        let x = &x[i * PIECE..][..output.len()];
        vectorized(
            #[inline(always)]
            || output.iter_mut().zip(x).for_each(|(output, x)| *output = function(*x)),
        );
    });
    output
}

fn zip(x: &[f32], y: &[f32], function: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut output = vec![0.0; x.len()];
    for_each_piece(&mut output, PIECE, COST, |i, output| {
        let (x, y) = (&x[i * PIECE..][..output.len()], &y[i * PIECE..][..output.len()]);
        vectorized(
            #[inline(always)]
            || {
                for ((output, x), y) in output.iter_mut().zip(x).zip(y) {
                    *output = function(*x, *y);
                }
            },
        );
    });
    output
}

/// The first half of each row times the GELU of its second half.
#[derive(Clone, Debug)]
pub(super) struct GatedGelu {
    /// The input's; its last size is the rows' width.
    pub shape: Shape,
}

impl GatedGelu {
    fn half(&self) -> usize {
        self.shape.last().map_or(0, |width| width / 2)
    }
}

impl Kernel<1> for GatedGelu {
    type State = FlexTensor;

    const KIND: KernelKind = KernelKind::Activation;

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, Shape) {
        let half = self.half();
        let mut output = vec![0.0; x.len() / 2];
        for_each_piece(&mut output, half, 2 * COST, |row, output| {
            let (value, gate) = x[row * 2 * half..][..2 * half].split_at(half);
            vectorized(
                #[inline(always)]
                || {
                    for ((output, value), gate) in output.iter_mut().zip(value).zip(gate) {
                        *output = value * gelu(*gate);
                    }
                },
            );
        });
        let mut shape = self.shape.clone();
        let last = shape.num_dims() - 1;
        shape[last] = half;
        (output, shape)
    }

    fn state(&self, [x]: [FlexTensor; 1]) -> FlexTensor {
        x
    }

    fn backward(&self, x: FlexTensor, gradient: &[f32], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let (half, x) = (self.half(), values(&x));
        let mut output = vec![0.0; x.len()];
        for_each_piece(&mut output, 2 * half, 2 * COST, |row, output| {
            let (value, gate) = x[row * 2 * half..][..2 * half].split_at(half);
            let gradient = &gradient[row * half..][..half];
            let (to_value, to_gate) = output.split_at_mut(half);
            vectorized(
                #[inline(always)]
                || {
                    for i in 0..half {
                        let (gate, gradient) = (gate[i], gradient[i]);
                        to_value[i] = gradient * gelu(gate);
                        to_gate[i] = gradient * value[i] * gelu_derivative(gate);
                    }
                },
            );
        });
        [Some(tensor(output, self.shape.clone()))]
    }
}
