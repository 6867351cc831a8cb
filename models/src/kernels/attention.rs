//! Scaled dot-product attention by heads. Neither pass holds more of the matrix of queries and keys
//! than a few queries' rows for each core: the backward pass computes them again.

use std::ops::Range;

use burn::{backend::flex::FlexTensor, tensor::Shape};

use super::{
    extension::{Kernel, tensor, values},
    functions::exp,
    matrix::{Matrix, multiply},
    parallel::{for_each_piece, map, sum, vectorized, with_scratch},
    spent::KernelKind,
};

/// Scores that are held at once by each core: 1 MiB.
const SCORES: usize = 1 << 18;

/// The sizes of one attention, none of them 0, and its mask.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub batch_size: usize,
    pub heads: usize,
    pub width: usize,
    pub query_length: usize,
    pub key_length: usize,
    /// `[query_length, key_length]`, added to the scores.
    pub mask: Option<FlexTensor>,
}

/// One head's gradients, each in rows of `width`.
struct Gradients {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
}

impl Attention {
    /// Head `i` of `values`, `[batch_size, length, heads * width]`, as `[length, width]`.
    fn head<'a>(
        &self,
        values: &'a [f32],
        length: usize,
        i: usize,
        rows: Range<usize>,
    ) -> Matrix<'a> {
        let channels = self.heads * self.width;
        let (picture, head) = (i / self.heads, i % self.heads);
        let start = (picture * length + rows.start) * channels + head * self.width;
        Matrix::strided(&values[start..], rows.len(), self.width, channels)
    }

    /// Runs of queries whose scores are held at once.
    fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let step = (SCORES / self.key_length.max(1)).max(1);
        let length = self.query_length;
        (0..length).step_by(step).map(move |first| first..length.min(first + step))
    }

    fn shape(&self, length: usize) -> Shape {
        [self.batch_size, length, self.heads * self.width].into()
    }

    /// What scores are multiplied by.
    fn scale(&self) -> f32 {
        (self.width as f64).powf(-0.5) as f32
    }

    /// Operations for one head.
    fn cost(&self) -> usize {
        self.query_length * self.key_length * (2 * self.width + 16)
    }

    /// `softmax(scale * query keyᵀ + mask)`: the share of each key in each query.
    fn shares(&self, query: Matrix, key: Matrix, first: usize, shares: &mut [f32]) {
        let length = self.key_length;
        multiply(shares, length, query, key.transpose(), self.scale(), false);
        vectorized(
            #[inline(always)]
            || {
                for (i, row) in shares.chunks_exact_mut(length).enumerate() {
                    if let Some(mask) = &self.mask {
                        let mask = &values(mask)[(first + i) * length..][..length];
                        row.iter_mut().zip(mask).for_each(|(score, mask)| *score += mask);
                    }
                    let largest =
                        row.iter().fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
                    row.iter_mut().for_each(|score| *score = exp(*score - largest));
                    let total = (1.0 / sum(length, |i| row[i])) as f32;
                    row.iter_mut().for_each(|share| *share *= total);
                }
            },
        );
    }

    /// The output of some queries of head `i`, in rows of `width`.
    fn forward_run(
        &self,
        [query, key, value]: [&[f32]; 3],
        i: usize,
        rows: Range<usize>,
    ) -> Vec<f32> {
        let keys = 0..self.key_length;
        let query = self.head(query, self.query_length, i, rows.clone());
        let key = self.head(key, self.key_length, i, keys.clone());
        let value = self.head(value, self.key_length, i, keys);
        let mut output = vec![0.0; rows.len() * self.width];
        with_scratch(rows.len() * self.key_length, |shares| {
            self.shares(query, key, rows.start, shares);
            let shares = Matrix::new(shares, rows.len(), self.key_length);
            multiply(&mut output, self.width, shares, value, 1.0, false);
        });
        output
    }

    fn backward_head(
        &self,
        [query, key, value]: [&[f32]; 3],
        gradient: &[f32],
        i: usize,
    ) -> Gradients {
        let (width, length, scale) = (self.width, self.key_length, self.scale());
        let key = self.head(key, length, i, 0..length);
        let value = self.head(value, length, i, 0..length);
        let mut to = Gradients {
            query: vec![0.0; self.query_length * width],
            key: vec![0.0; length * width],
            value: vec![0.0; length * width],
        };
        let (mut shares, mut to_shares) = (Vec::new(), Vec::new());
        for rows in self.runs() {
            let query = self.head(query, self.query_length, i, rows.clone());
            let gradient = self.head(gradient, self.query_length, i, rows.clone());
            shares.resize(rows.len() * length, 0.0);
            to_shares.resize(rows.len() * length, 0.0);
            self.shares(query, key, rows.start, &mut shares);
            multiply(&mut to_shares, length, gradient, value.transpose(), 1.0, false);
            let matrix = Matrix::new(&shares, rows.len(), length);
            multiply(&mut to.value, width, matrix.transpose(), gradient, 1.0, true);
            // From here on, the scores' gradient.
            vectorized(
                #[inline(always)]
                || {
                    let rows = to_shares.chunks_exact_mut(length).zip(shares.chunks_exact(length));
                    for (to_row, row) in rows {
                        let mean = sum(length, |i| to_row[i] * row[i]) as f32;
                        to_row
                            .iter_mut()
                            .zip(row)
                            .for_each(|(to, share)| *to = share * (*to - mean));
                    }
                },
            );
            let to_scores = Matrix::new(&to_shares, rows.len(), length);
            multiply(&mut to.query[rows.start * width..], width, to_scores, key, scale, false);
            multiply(&mut to.key, width, to_scores.transpose(), query, scale, true);
        }
        to
    }

    /// `[batch_size, length, heads * width]`, of which `row` gives each row of each head.
    fn join<'a>(&self, length: usize, row: impl Fn(usize, usize) -> &'a [f32] + Sync) -> Vec<f32> {
        let mut output = vec![0.0; self.batch_size * length * self.heads * self.width];
        for_each_piece(&mut output, self.width, 1, |i, output| {
            let (place, head) = (i / self.heads, i % self.heads);
            let (picture, inside) = (place / length, place % length);
            output.copy_from_slice(row(picture * self.heads + head, inside));
        });
        output
    }
}

impl Kernel<3> for Attention {
    type State = [FlexTensor; 3];

    const KIND: KernelKind = KernelKind::Attention;

    fn operations(&self) -> usize {
        4 * self.batch_size * self.heads * self.query_length * self.key_length * self.width
    }

    fn forward(&self, inputs: [&[f32]; 3]) -> (Vec<f32>, Shape) {
        let runs: Vec<_> = self.runs().collect();
        let step = runs[0].len();
        let cost = self.cost() / runs.len();
        let blocks = map(self.batch_size * self.heads * runs.len(), cost, |task| {
            self.forward_run(inputs, task / runs.len(), runs[task % runs.len()].clone())
        });
        let output = self.join(self.query_length, |head, row| {
            let block = &blocks[head * runs.len() + row / step];
            &block[row % step * self.width..][..self.width]
        });
        (output, self.shape(self.query_length))
    }

    fn state(&self, inputs: [FlexTensor; 3]) -> [FlexTensor; 3] {
        inputs
    }

    fn backward(
        &self,
        inputs: [FlexTensor; 3],
        gradient: &[f32],
        [query, key, value]: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let inputs = inputs.each_ref().map(values);
        let heads = map(self.batch_size * self.heads, 3 * self.cost(), |i| {
            self.backward_head(inputs, gradient, i)
        });
        let join = |wanted: bool, length, head: fn(&Gradients) -> &[f32]| {
            let row = |i: usize, row: usize| &head(&heads[i])[row * self.width..][..self.width];
            wanted.then(|| tensor(self.join(length, row), self.shape(length)))
        };
        [
            join(query, self.query_length, |to| &to.query),
            join(key, self.key_length, |to| &to.key),
            join(value, self.key_length, |to| &to.value),
        ]
    }
}
