//! Attention by chunks against the one that holds its scores whole.

use burn::tensor::{DType, Device, Tensor};
use proptest::prelude::*;

use super::{chunked::ChunkedAttention, plain};
use crate::testing::{difference, run, tensor, values};

/// burn's CPU backends, of those that the tests are built with.
fn processors() -> Vec<Device> {
    vec![
        #[cfg(feature = "flex")]
        Device::flex(),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)]
        Device::ndarray(),
    ]
}

/// Every backend that the tests are built with.
fn devices() -> Vec<Device> {
    processors()
        .into_iter()
        .chain([
            #[cfg(feature = "wgpu")]
            Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        ])
        .collect()
}

/// The largest difference over output and gradients, and without a graph the same output.
fn compare(inputs: &[Tensor<3>; 3], attention: &ChunkedAttention) -> f32 {
    let chunked = |inputs: [Tensor<3>; 3]| attention.apply(inputs.each_ref());
    let found = run(inputs, chunked);
    assert_eq!(values(chunked(inputs.clone())), found[0]);
    let expected = run(inputs, |[query, key, value]| {
        plain(query, key, value, attention.heads, attention.mask.clone())
    });
    let each = found.iter().zip(&expected).map(|(found, expected)| difference(found, expected));
    each.fold(0.0, f32::max)
}

/// Batch size, heads, width of a head, queries, keys, queries of a chunk. A width of 1 is left out:
/// burn 0.22.1's sum over a dimension of 1 is wrong on wgpu where rows are apart.
type Sizes = [usize; 6];

fn check([batch_size, heads, width, queries, keys, chunk]: Sizes, masked: bool, device: &Device) {
    let input = |length, seed| tensor([batch_size, length, heads * width], seed, device);
    let inputs = [input(queries, 3), input(keys, 4), input(keys, 5)];
    let mask = masked.then(|| tensor([1, 1, queries, keys], 9, device));
    let difference = compare(&inputs, &ChunkedAttention { heads, mask, chunk });
    assert!(difference < 2e-5, "{device:?}: {difference}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention_by_chunks_is_that_with_all_scores(
        sizes in [1..3_usize, 1..4, 2..10, 1..20, 1..20, 1..24],
        masked: bool,
    ) {
        for device in processors() {
            check(sizes, masked, &device);
        }
    }
}

#[test]
fn attention_by_chunks_is_that_with_all_scores_on_every_backend() {
    for device in devices() {
        for (sizes, masked) in [
            ([2, 3, 5, 17, 6, 4], false),
            ([1, 2, 8, 12, 12, 5], true),
            ([1, 1, 40, 64, 64, 64], false),
        ] {
            check(sizes, masked, &device);
        }
    }
}

#[test]
fn large_scores_take_the_way_by_chunks_and_stay_the_same() {
    for device in devices() {
        // 17 MiB of scores
        let input = |seed| tensor([1, 1500, 16], seed, &device);
        let inputs = [input(3), input(4), input(5)];
        let found = run(&inputs, |[query, key, value]| {
            let chunked = super::chunked::attention([&query, &key, &value], 2, None);
            chunked.expect("above the limit")
        });
        let expected = run(&inputs, |[query, key, value]| plain(query, key, value, 2, None));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(difference(found, expected) < 2e-5, "{device:?}");
        }
    }
}

#[test]
fn half_precision_is_that_of_its_inputs() {
    for device in devices() {
        for (dtype, tolerance) in [(DType::F16, 4e-3), (DType::BF16, 3e-2)] {
            if !device.supports_dtype(dtype) {
                continue;
            }
            let input = |seed| tensor([2, 24, 12], seed, &device);
            let whole = [input(3), input(4), input(5)];
            let half = whole.clone().map(|x| x.cast(dtype));
            let attention = ChunkedAttention { heads: 2, mask: None, chunk: 7 };
            let output = attention.apply(half.each_ref());
            assert_eq!(output.dtype(), dtype);
            let apply = |inputs: [Tensor<3>; 3]| attention.apply(inputs.each_ref());
            for (found, expected) in run(&half, apply).iter().zip(&run(&whole, apply)) {
                let difference = difference(found, expected);
                assert!(difference < tolerance, "{device:?} {dtype:?}: {difference}");
            }
        }
    }
}

/// The sum of all values is more than f16 holds, their mean is not.
#[test]
fn many_large_values_do_not_overflow_in_half_precision() {
    for device in devices().into_iter().filter(|device| device.supports_dtype(DType::F16)) {
        let zeros = Tensor::<3>::zeros([1, 4096, 8], &device).cast(DType::F16);
        let value = (zeros.clone() + 20.0).cast(DType::F16);
        let attention = ChunkedAttention { heads: 1, mask: None, chunk: 4 };
        let output = attention.apply([&zeros.clone().narrow(1, 0, 8), &zeros, &value]);
        assert!(difference(&values(output), &[20.0; 64]) < 1e-2, "{device:?}");
    }
}

#[test]
fn only_the_gradients_that_are_wanted_are_computed() {
    for device in devices() {
        let input = |seed| tensor([1, 9, 6], seed, &device);
        let (query, key) = (input(3), input(4));
        let value = input(5).autodiff().require_grad();
        let attention = ChunkedAttention { heads: 3, mask: None, chunk: 4 };
        let gradients = attention.apply([&query, &key, &value]).sum().backward();
        let found = values(value.grad(&gradients).expect("a gradient"));
        let expected = plain(query, key, value.clone(), 3, None).sum().backward();
        let expected = values(value.grad(&expected).expect("a gradient"));
        assert!(difference(&found, &expected) < 2e-5, "{device:?}");
    }
}

/// The most memory that this process ever held, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("a number") << 10
}

/// Runs in a process of its own: see the next test.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by the test of 4,096 tokens"]
fn attention_over_4096_tokens_alone() {
    for device in processors() {
        let input = |seed| tensor([1, 4096, 16], seed, &device);
        let inputs = [input(3), input(4), input(5)];
        let attention = ChunkedAttention { heads: 2, mask: None, chunk: 256 };
        let before = peak();
        run(&inputs, |inputs| attention.apply(inputs.each_ref()));
        println!("{device:?}: grown by {} bytes", peak() - before);
    }
}

/// All scores of one forward pass are 128 MiB. A process' peak is its alone, so one is started.
#[cfg(target_os = "linux")]
#[test]
fn attention_over_4096_tokens_holds_less_than_half_of_its_scores() {
    let name = "attention::tests::attention_over_4096_tokens_alone";
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--ignored", "--nocapture"])
        .output()
        .expect("this program again");
    let output = String::from_utf8_lossy(&output.stdout);
    let grown: Vec<usize> = output
        .lines()
        .filter_map(|line| line.split_once("grown by ")?.1.split_once(' ')?.0.parse().ok())
        .collect();
    println!("{output}");
    assert_eq!(grown.len(), processors().len(), "{output}");
    assert!(grown.iter().all(|grown| *grown < 64 << 20), "{output}");
}
