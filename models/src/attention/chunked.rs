//! Attention that holds the scores of a few queries at a time, forward and backward (Rabe and
//! Staats 2021; the backward pass as in Dao et al. 2022, appendix B.2).

use burn::{
    backend::DispatchTensor,
    tensor::{FloatDType, Tensor},
};

use crate::{
    operation::{Operation, apply},
    product::matmul,
};

/// From these bytes of scores on: below, the graph may as well keep them.
const WORTHWHILE: usize = 16 << 20;
/// Bytes of scores that are held at once, in each of the few tensors of a pass: half of what every
/// WebGPU device can bind. burn tells no device's free memory.
const CHUNK: usize = 64 << 20;

/// The attention of [`super::plain`], by chunks of queries. Softmax and sums are in f32 whatever
/// the inputs are.
#[derive(Clone, Debug)]
pub(super) struct ChunkedAttention {
    pub heads: usize,
    /// `[1, 1, query_length, key_length]`, added to the scores.
    pub mask: Option<Tensor<4>>,
    /// Queries whose scores are held at once.
    pub chunk: usize,
}

/// What the gradient needs.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Query, key and value as they came.
    inputs: [DispatchTensor; 3],
    output: DispatchTensor,
    /// Logarithm of each query's sum of exponentials, `[batch_size, heads, query_length, 1]`.
    log_sum: Tensor<4>,
}

/// The attention of [`super::plain`], where its scores would take much memory.
pub(super) fn attention(
    [query, key, value]: [&Tensor<3>; 3],
    heads: usize,
    mask: Option<&Tensor<4>>,
) -> Option<Tensor<3>> {
    let ([batch_size, queries, _], [_, keys, _]) = (query.dims(), key.dims());
    // A product may pass what wasm32 counts to.
    let row = (batch_size * heads * keys).saturating_mul(size_of::<f32>());
    if row.saturating_mul(queries) < WORTHWHILE {
        return None;
    }
    let mask = mask.map(|mask| mask.clone().inner());
    let operation = ChunkedAttention { heads, mask, chunk: (CHUNK / row).max(1) };
    Some(operation.apply([query, key, value]))
}

impl ChunkedAttention {
    pub(super) fn apply(&self, inputs: [&Tensor<3>; 3]) -> Tensor<3> {
        Tensor::from_dispatch(apply(self, inputs.map(|input| input.clone().into_dispatch())))
    }

    /// `[batch_size, length, heads * width]` to `[batch_size, heads, length, width]`.
    fn split(&self, x: DispatchTensor) -> Tensor<4> {
        let x = Tensor::<3>::from_dispatch(x);
        let [batch_size, length, channels] = x.dims();
        x.reshape([batch_size, length, self.heads, channels / self.heads]).swap_dims(1, 2)
    }

    /// The other way, in the given type.
    fn join(x: Tensor<4>, like: FloatDType) -> DispatchTensor {
        let [batch_size, heads, length, width] = x.dims();
        x.cast(like).swap_dims(1, 2).reshape([batch_size, length, heads * width]).into_dispatch()
    }

    /// First and number of each chunk's queries.
    fn chunks(&self, queries: usize) -> impl Iterator<Item = (usize, usize)> {
        let chunk = self.chunk;
        (0..queries).step_by(chunk).map(move |first| (first, chunk.min(queries - first)))
    }

    /// Scores of scaled queries, the first of which is number `first`.
    fn scores(&self, query: Tensor<4>, key: &Tensor<4>, first: usize) -> Tensor<4> {
        let [_, _, count, _] = query.dims();
        let scores = matmul(query, key.clone().transpose()).cast(FloatDType::F32);
        match &self.mask {
            Some(mask) => scores + mask.clone().narrow(2, first, count).cast(FloatDType::F32),
            None => scores,
        }
    }
}

fn scale(width: usize) -> f64 {
    (width as f64).powf(-0.5)
}

impl Operation<3> for ChunkedAttention {
    type State = State;

    fn forward(&self, inputs: [DispatchTensor; 3]) -> (DispatchTensor, State) {
        let [query, key, value] = inputs.clone().map(|input| self.split(input));
        let [_, _, queries, width] = query.dims();
        let dtype = FloatDType::from(query.dtype());
        let query = query.mul_scalar(scale(width));
        let (mut outputs, mut log_sums) = (Vec::new(), Vec::new());
        for (first, count) in self.chunks(queries) {
            let scores = self.scores(query.clone().narrow(2, first, count), &key, first);
            let largest = scores.clone().max_dim(3);
            let shares = (scores - largest.clone()).exp();
            let sum = shares.clone().sum_dim(3);
            // Divided before the product: thousands of values together pass what f16 holds.
            let shares = (shares / sum.clone()).cast(dtype);
            outputs.push(matmul(shares, value.clone()).cast(FloatDType::F32));
            log_sums.push(largest + sum.log());
        }
        let output = Self::join(Tensor::cat(outputs, 2), dtype);
        let state = State { inputs, output: output.clone(), log_sum: Tensor::cat(log_sums, 2) };
        (output, state)
    }

    fn backward(
        self,
        State { inputs, output, log_sum }: State,
        gradient: DispatchTensor,
        [to_query, to_key, to_value]: [bool; 3],
    ) -> [Option<DispatchTensor>; 3] {
        let [query, key, value] = inputs.map(|input| self.split(input));
        let [_, _, queries, width] = query.dims();
        let dtype = FloatDType::from(query.dtype());
        let query = query.mul_scalar(scale(width));
        let gradient = self.split(gradient);
        let output = self.split(output).cast(FloatDType::F32);
        // Each query's mean of its shares' gradients, by the shares.
        let mean = (output * gradient.clone().cast(FloatDType::F32)).sum_dim(3);
        let (mut queries_to, mut key_to, mut value_to) = (Vec::new(), None, None);
        for (first, count) in self.chunks(queries) {
            let chunk = |x: &Tensor<4>| x.clone().narrow(2, first, count);
            let (query, gradient) = (chunk(&query), chunk(&gradient));
            let shares = (self.scores(query.clone(), &key, first) - chunk(&log_sum)).exp();
            if to_value {
                let found = matmul(shares.clone().cast(dtype).transpose(), gradient.clone());
                add(&mut value_to, found);
            }
            if !to_query && !to_key {
                continue;
            }
            let to_shares = matmul(gradient, value.clone().transpose()).cast(FloatDType::F32);
            let to_scores = (shares * (to_shares - chunk(&mean))).cast(dtype);
            if to_key {
                add(&mut key_to, matmul(to_scores.clone().transpose(), query));
            }
            if to_query {
                queries_to.push(matmul(to_scores, key.clone()).mul_scalar(scale(width)));
            }
        }
        let query_to = to_query.then(|| Tensor::cat(queries_to, 2));
        [query_to, key_to, value_to].map(|found| found.map(|found| Self::join(found, dtype)))
    }
}

/// Adds to a sum in f32.
fn add(sum: &mut Option<Tensor<4>>, found: Tensor<4>) {
    let found = found.cast(FloatDType::F32);
    *sum = Some(match sum.take() {
        Some(sum) => sum + found,
        None => found,
    });
}
