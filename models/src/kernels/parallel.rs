//! Work over the cores and over the lanes of one. What a piece of work is depends on the shapes
//! alone, so that results do not depend on the number of threads.

use std::{cell::RefCell, ops::Range};

use rayon::prelude::*;

use super::spent::{current, helping};

/// So many operations are worth to wake another thread.
const WORTH: usize = 1 << 17;

/// Calls `work` with the number and the content of each piece of `length` values; `cost` is about
/// how many operations a value takes.
pub(super) fn for_each_piece(
    values: &mut [f32],
    length: usize,
    cost: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let length = length.max(1);
    if alone(values.len().saturating_mul(cost)) {
        return values.chunks_mut(length).enumerate().for_each(|(i, piece)| work(i, piece));
    }
    let least = WORTH.div_ceil(length.saturating_mul(cost).max(1));
    let pieces = values.par_chunks_mut(length).enumerate().with_min_len(least);
    let kind = current();
    pieces.for_each(|(i, piece)| helping(kind, || work(i, piece)));
}

/// What `work` makes of each number below `count`, in order; `cost` is about how many operations
/// one takes.
pub(super) fn map<T: Send>(
    count: usize,
    cost: usize,
    work: impl Fn(usize) -> T + Sync + Send,
) -> Vec<T> {
    if alone(count.saturating_mul(cost)) {
        return (0..count).map(work).collect();
    }
    let least = WORTH.div_ceil(cost.max(1));
    let kind = current();
    let numbers = (0..count).into_par_iter().with_min_len(least);
    numbers.map(|i| helping(kind, || work(i))).collect()
}

/// What `work` makes of each number below `count`, in order, where each is worth a thread.
pub(crate) fn each<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    map(count, 2 * WORTH, work)
}

/// How many threads share the cores.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Does `work` on one of the threads that share the cores, where there are several: from there, a layer
/// is shared out without waking one first.
pub fn on_cores<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match rayon::current_num_threads() {
        // it might wait for a thread that wants this one
        1 => work(),
        _ => rayon::scope(|_| work()),
    }
}

/// The numbers below `count` in as many runs as there are threads, or in one each.
pub(crate) fn shares(count: usize) -> Vec<Range<usize>> {
    let parts = rayon::current_num_threads().clamp(1, count.max(1));
    (0..parts).map(|i| i * count / parts..(i + 1) * count / parts).collect()
}

/// Whether this thread is as fast alone.
fn alone(cost: usize) -> bool {
    cost < 2 * WORTH || rayon::current_num_threads() == 1
}

/// Calls `work` with `length` values of any content, which this thread keeps for the next call. Calls in
/// `work` get others.
pub(super) fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local!(static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) });
    let mut scratch = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    if scratch.len() < length {
        scratch.resize(length, 0.0);
    }
    let result = work(&mut scratch[..length]);
    KEPT.with_borrow_mut(|kept| kept.push(scratch));
    result
}

/// Runs `work`, and what is inlined into it, compiled for AVX-512 or AVX2 where the processor has them.
#[inline(always)]
pub(super) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return pulp::Simd::vectorize(simd, work);
    }
    without_avx512(work)
}

/// The same without AVX-512, by which the compiler scatters what is transposed: slower than single values.
#[inline(always)]
pub(super) fn without_avx512<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return pulp::Simd::vectorize(simd, work);
    }
    work()
}

const LANES: usize = 16;

/// The sum of `term` over the indices below `length`: in f32 over runs of 4,096, then in f64.
#[inline(always)]
pub(super) fn sum(length: usize, term: impl Fn(usize) -> f32) -> f64 {
    const RUN: usize = 4096;
    let mut total = 0.0;
    let mut start = 0;
    while start < length {
        let end = length.min(start + RUN);
        let whole = start + (end - start) / LANES * LANES;
        let mut lanes = [0_f32; LANES];
        let mut i = start;
        while i < whole {
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum += term(i + lane);
            }
            i += LANES;
        }
        total += lanes.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        total += (whole..end).map(|i| f64::from(term(i))).sum::<f64>();
        start = end;
    }
    total
}
