//! Every kernel against burn's own operations, forward and gradient.

// Tests run natively, where blocking reads are fine.
#![allow(clippy::disallowed_methods)]

use burn::{
    module::{Module, Param},
    nn::{
        GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor, activation::silu},
};
use proptest::prelude::*;

use super::*;
use crate::{
    Activation, attention,
    testing::{difference, run, values},
};

fn tensor<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    crate::testing::tensor(shape, seed, &Device::flex())
}

/// Without a graph, with one, and by burn's own operations: the first two give the same bits.
fn check<const D: usize, const E: usize, const N: usize>(
    inputs: [Tensor<D>; N],
    kernel: impl Fn([Tensor<D>; N]) -> Tensor<E>,
    plain: impl Fn([Tensor<D>; N]) -> Tensor<E>,
) -> Result<(), TestCaseError> {
    let (found, expected) = (run(&inputs, &kernel), run(&inputs, plain));
    prop_assert_eq!(&values(kernel(inputs.clone())), &found[0]);
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let difference = difference(found, expected);
        prop_assert!(difference < 5e-5, "{}: {}", i, difference);
    }
    prop_assert_eq!(run(&inputs, &kernel), found);
    Ok(())
}

fn group_norm_of(groups: usize, channels: usize, epsilon: f64) -> GroupNorm {
    let mut layer =
        GroupNormConfig::new(groups, channels).with_epsilon(epsilon).init(&Device::flex());
    layer.gamma = Some(Param::from_tensor(tensor([channels], 1)));
    layer.beta = Some(Param::from_tensor(tensor([channels], 2)));
    layer.no_grad()
}

fn layer_norm_of(width: usize, epsilon: f64) -> LayerNorm {
    let mut layer = LayerNormConfig::new(width).with_epsilon(epsilon).init(&Device::flex());
    layer.gamma = Param::from_tensor(tensor([width], 1));
    layer.beta = Some(Param::from_tensor(tensor([width], 2)));
    layer.no_grad()
}

prop_compose! {
    fn convolutions()(
        channels in [1..40_usize, 1..40],
        kernel in [1..5_usize, 1..5],
        stride in [1..3_usize, 1..3],
        padding in [0..3_usize, 0..3, 0..3, 0..3],
        extra in [0..20_usize, 0..20],
        batch_size in 1..6_usize,
        bias: bool,
    ) -> (Conv2d, [usize; 4]) {
        let [top, left, bottom, right] = padding;
        let layer = Conv2dConfig::new(channels, kernel)
            .with_stride(stride)
            .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
            .with_bias(bias)
            .init(&Device::flex())
            .no_grad();
        let [height, width] = [0, 1].map(|axis| kernel[axis] + extra[axis]);
        (layer, [batch_size, channels[0], height, width])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolution_is_burns((layer, shape) in convolutions()) {
        check([tensor(shape, 3)], |[x]| conv2d(&layer, x), |[x]| layer.forward(x))?;
    }

    #[test]
    fn an_input_of_a_convolution_does_not_depend_on_the_others((layer, shape) in convolutions()) {
        let whole = run(&[tensor(shape, 3)], |[x]| conv2d(&layer, x) * 2.0);
        let apart = run(&[tensor(shape, 3)], |[x]| {
            let parts = x.chunk(shape[0], 0).into_iter().map(|x| conv2d(&layer, x));
            Tensor::cat(parts.collect(), 0) * 2.0
        });
        prop_assert_eq!(whole, apart);
    }

    #[test]
    fn linear_is_burns(
        shape in [1..4_usize, 1..50, 1..50],
        outputs in 1..50_usize,
        bias: bool,
    ) {
        let layer = LinearConfig::new(shape[2], outputs).with_bias(bias).init(&Device::flex());
        let layer = layer.no_grad();
        check([tensor(shape, 3)], |[x]| linear(&layer, x), |[x]| layer.forward(x))?;
        let whole = run(&[tensor(shape, 3)], |[x]| linear(&layer, x) * 2.0);
        let apart = run(&[tensor(shape, 3)], |[x]| {
            let parts = x.chunk(shape[0], 0).into_iter().map(|x| linear(&layer, x));
            Tensor::cat(parts.collect(), 0) * 2.0
        });
        prop_assert_eq!(whole, apart);
    }

    #[test]
    fn group_norm_is_burns(
        groups in 1..5_usize,
        each in 1..4_usize,
        size in [2..12_usize, 2..12],
        batch_size in 1..4_usize,
    ) {
        let layer = group_norm_of(groups, groups * each, 1e-5);
        let x = tensor([batch_size, groups * each, size[0], size[1]], 3);
        check([x.clone()], |[x]| group_norm(&layer, x), |[x]| layer.forward(x))?;
        check([x], |[x]| group_norm_silu(&layer, x), |[x]| silu(layer.forward(x)))?;
    }

    #[test]
    fn layer_norm_is_burns(shape in [1..4_usize, 1..9, 8..70]) {
        let layer = layer_norm_of(shape[2], 1e-5);
        check([tensor(shape, 3)], |[x]| layer_norm(&layer, 1e-5, x), |[x]| layer.forward(x))?;
    }

    #[test]
    fn activations_are_burns(shape in [1..4_usize, 1..9, 1..70]) {
        for function in [Activation::QuickGelu, Activation::Gelu, Activation::Silu] {
            let x = tensor(shape, 3).mul_scalar(4.0);
            check([x], |[x]| activate(function, x), |[x]| function.plain(x))?;
        }
    }

    #[test]
    fn gated_gelu_is_burns(batch_size in 1..4_usize, length in 1..9_usize, width in 1..40_usize) {
        let plain = |x: Tensor<3>| {
            let gate = x.clone().narrow(2, width, width);
            x.narrow(2, 0, width) * Activation::Gelu.plain(gate)
        };
        check([tensor([batch_size, length, 2 * width], 3)], |[x]| gated_gelu(x), |[x]| plain(x))?;
    }

    #[test]
    fn attention_is_burns(
        batch_size in 1..4_usize,
        heads in 1..4_usize,
        width in 1..20_usize,
        length in 1..30_usize,
        masked: bool,
    ) {
        let shape = [batch_size, length, heads * width];
        let mask = masked.then(|| tensor([1, 1, length, length], 9).triu(0));
        check(
            [tensor(shape, 3), tensor(shape, 4), tensor(shape, 5)],
            |[q, k, v]| super::attention([&q, &k, &v], heads, mask.as_ref()).expect("flex"),
            |[q, k, v]| attention::plain(q, k, v, heads, mask.clone()),
        )?;
    }
}

/// Of weights that are too many to be laid out once: by patches of few pixels, of so many that they are
/// cut into blocks, which reach over the pictures' ends, and by Winograd's way: the first such case has just
/// enough tiles for it, and the last one more than are held at once.
#[test]
fn a_convolution_by_many_weights_is_burns() {
    for (channels, kernel, stride, padding, [batch_size, height, width]) in [
        ([730, 731], 1, 1, [0; 4], [2, 3, 5]),
        ([250, 251], 3, 1, [1; 4], [2, 5, 7]),
        ([250, 251], 3, 2, [0, 0, 1, 1], [1, 6, 7]),
        ([104, 104], 7, 1, [3; 4], [2, 21, 17]),
        ([230, 260], 3, 1, [1; 4], [1, 16, 16]),
        ([300, 203], 3, 1, [0, 1, 2, 1], [2, 20, 20]),
        ([1040, 60], 3, 1, [1; 4], [3, 32, 32]),
    ] {
        assert!(!is_small(channels[0] * channels[1] * kernel * kernel));
        let [top, left, bottom, right] = padding;
        let layer = Conv2dConfig::new(channels, [kernel; 2])
            .with_stride([stride; 2])
            .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
            .init(&Device::flex())
            .no_grad();
        let x = tensor([batch_size, channels[0], height, width], 3);
        check([x], |[x]| conv2d(&layer, x), |[x]| layer.forward(x)).expect("the same numbers");
    }
}

/// The same for linear layers, of one row and of many.
#[test]
fn a_linear_layer_by_many_weights_is_burns() {
    for (rows, inputs, outputs) in [(1, 900, 700), (37, 700, 900), (3, 50, 12_000)] {
        assert!(!is_small(inputs * outputs));
        let layer = LinearConfig::new(inputs, outputs).init(&Device::flex()).no_grad();
        let x = tensor([2, rows, inputs], 3);
        check([x], |[x]| linear(&layer, x), |[x]| layer.forward(x)).expect("the same numbers");
    }
}

#[test]
fn attention_over_more_scores_than_are_held_at_once_is_burns() {
    let (queries, keys) = (300, 1100);
    let inputs = [tensor([1, queries, 8], 3), tensor([1, keys, 8], 4), tensor([1, keys, 8], 5)];
    for mask in [None, Some(tensor([1, 1, queries, keys], 9))] {
        let found = run(&inputs, |[q, k, v]| {
            super::attention([&q, &k, &v], 2, mask.as_ref()).expect("flex")
        });
        let expected = run(&inputs, |[q, k, v]| attention::plain(q, k, v, 2, mask.clone()));
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let difference = difference(found, expected);
            assert!(difference < 2e-5, "{i}, masked: {}: {difference}", mask.is_some());
        }
    }
}

#[test]
fn gradient_checkpointing_changes_no_gradient() {
    let layer = group_norm_of(2, 4, 1e-5);
    let x = tensor([2, 4, 3, 5], 3);
    let gradient = |device: Device| {
        let x = Tensor::<4>::from_data(x.clone().into_data(), &device).require_grad();
        let gradients = silu(group_norm_silu(&layer, x.clone().mul_scalar(2.0))).sum().backward();
        values(x.grad(&gradients).expect("a gradient"))
    };
    let plain = gradient(Device::flex().autodiff());
    assert_eq!(gradient(Device::flex().autodiff().gradient_checkpointing()), plain);
}

#[test]
fn a_layer_that_is_trained_gets_its_gradient() {
    let device = Device::flex().autodiff();
    let layer = Conv2dConfig::new([3, 2], [3, 3]).init(&device);
    let output = conv2d(&layer, tensor([1, 3, 5, 5], 3).autodiff());
    assert!(layer.weight.val().grad(&output.sum().backward()).is_some());
}

#[test]
fn a_tensor_that_does_not_lie_in_rows_is_read_by_its_strides() {
    let layer = group_norm_of(2, 4, 1e-5);
    let x = tensor([3, 4, 5, 6], 3).swap_dims(2, 3).flip([0]);
    let whole = Tensor::from_data(x.clone().into_data(), &Device::flex());
    assert_eq!(values(group_norm_silu(&layer, x)), values(group_norm_silu(&layer, whole)));
}
