//! A frozen linear layer: one product of matrices, whose right factor is laid out once unless it is large.

use burn::{backend::flex::FlexTensor, nn::Linear, tensor::Shape};

use super::{
    extension::{Kernel, frozen, stored, tensor, values, widened_values},
    kept::{self, Layout, is_kept, is_small},
    matrix::{self, Matrix},
    parallel::{self, for_each_piece},
    spent::KernelKind,
    tile::{COLUMNS, Panels, ROWS, multiply, panels},
};

/// `x * weight + bias` over the last dimension.
#[derive(Clone, Debug)]
pub(super) struct FrozenLinear {
    /// `[inputs, outputs]`
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    /// Of the input.
    shape: Shape,
}

impl FrozenLinear {
    /// Nothing if the layer is trained or lies elsewhere, or if its weights are few and a part of others:
    /// neither laid out once nor worth to be shared out.
    pub fn new(layer: &Linear, shape: Shape) -> Option<Self> {
        let weight = stored(&layer.weight)?;
        let bias = match &layer.bias {
            Some(bias) => Some(frozen(bias)?),
            None => None,
        };
        // Inputs that do not fit are burn's to refuse.
        let weights = weight.layout().num_elements();
        let fits = shape.last() == weight.layout().shape().first()
            && shape.num_elements() > 0
            && weights > 0
            && (is_kept(&weight) || !is_small(weights));
        fits.then_some(Self { weight, bias, shape })
    }

    /// Inputs and outputs.
    fn sizes(&self) -> [usize; 2] {
        [self.weight.layout().shape()[0], self.weight.layout().shape()[1]]
    }

    /// `x` times the weights or, on the way back, their transpose.
    fn multiply(&self, x: &[f32], way: Layout, bias: Option<&[f32]>) -> Vec<f32> {
        let [inputs, outputs] = self.sizes();
        let back = way == Layout::Backward;
        if !is_kept(&self.weight) {
            let weight = widened_values(&self.weight);
            let weight = Matrix::new(&weight, inputs, outputs);
            return by_columns(x, if back { weight.transpose() } else { weight }, bias);
        }
        let lay_out = if back { transpose_in_panels } else { in_panels };
        let right = kept::of(&self.weight, way, || {
            lay_out(&widened_values(&self.weight), [inputs, outputs])
        });
        product(x, &right, bias, if back { [outputs, inputs] } else { [inputs, outputs] })
    }

    fn with_last(&self, size: usize) -> Shape {
        let mut shape = self.shape.clone();
        let last = shape.rank() - 1;
        shape[last] = size;
        shape
    }
}

/// `x * right`, each row of which begins with `bias`.
///
/// # Shapes
///
/// - x: `[rows, inner]`
/// - right: `[panels, inner]` of 16 columns
/// - output: `[rows, columns]`
fn product(
    x: &[f32],
    right: &[f32],
    bias: Option<&[f32]>,
    [inner, columns]: [usize; 2],
) -> Vec<f32> {
    let (right, _) = right.as_chunks();
    let mut output = vec![0.0; x.len() / inner * columns];
    // some rows at a time, so that they stay near
    const TOGETHER: usize = 4 * ROWS;
    for_each_piece(&mut output, TOGETHER * columns, inner, |piece, output| {
        let rows = output.len() / columns;
        let x = &x[piece * TOGETHER * inner..][..rows * inner];
        multiply(
            Panels::Plain { values: x, apart: inner },
            right,
            inner,
            rows,
            |row, panel, sums| {
                let first = panel * COLUMNS;
                let width = COLUMNS.min(columns - first);
                let output = &mut output[row * columns + first..][..width];
                store(output, &sums[..width], bias.map(|bias| &bias[first..][..width]));
            },
        );
    });
    output
}

/// `x * right`, each row of which begins with `bias`, by a right factor that is too large to be kept in
/// another layout: its columns are shared out among the threads, so that each weight is read once.
///
/// # Shapes
///
/// - x: `[rows, inner]`
/// - output: `[rows, columns]`
fn by_columns(x: &[f32], right: Matrix, bias: Option<&[f32]>) -> Vec<f32> {
    let (inner, columns) = (right.rows, right.columns);
    let left = Matrix::new(x, x.len() / inner, inner);
    // as many pieces as threads may want; those of long rows are as wide as pays
    let width = columns.div_ceil(8).clamp(32, 640);
    let pieces = parallel::map(columns.div_ceil(width), x.len() * width, |piece| {
        let first = piece * width;
        let values = &right.values[first * right.column_stride..];
        let right = Matrix { values, columns: width.min(columns - first), ..right };
        let mut product = vec![0.0; left.rows * right.columns];
        matrix::multiply(&mut product, right.columns, left, right, 1.0, false);
        product
    });
    let mut output = vec![0.0; left.rows * columns];
    for_each_piece(&mut output, columns, 1, |row, output| {
        for (i, (piece, output)) in pieces.iter().zip(output.chunks_mut(width)).enumerate() {
            let sums = &piece[row * output.len()..][..output.len()];
            store(output, sums, bias.map(|bias| &bias[i * width..]));
        }
    });
    output
}

/// Each sum, and its bias where there are some.
#[inline(always)]
fn store(output: &mut [f32], sums: &[f32], bias: Option<&[f32]>) {
    match bias {
        Some(bias) => {
            let terms = sums.iter().zip(bias);
            output.iter_mut().zip(terms).for_each(|(y, (sum, bias))| *y = sum + bias);
        }
        None => output.copy_from_slice(sums),
    }
}

/// A matrix `[rows, columns]` in panels of 16 columns.
fn in_panels(matrix: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut values = vec![0.0; panels(columns, COLUMNS) * rows * COLUMNS];
    for (i, panel) in values.chunks_exact_mut(rows * COLUMNS).enumerate() {
        let first = i * COLUMNS;
        let width = COLUMNS.min(columns - first);
        for (to, from) in panel.chunks_exact_mut(COLUMNS).zip(matrix.chunks_exact(columns)) {
            to[..width].copy_from_slice(&from[first..][..width]);
        }
    }
    values
}

/// The transpose of a matrix `[rows, columns]`, in panels of 16 of its rows.
fn transpose_in_panels(matrix: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut values = vec![0.0; panels(rows, COLUMNS) * columns * COLUMNS];
    for (row, from) in matrix.chunks_exact(columns).enumerate() {
        let panel = &mut values[row / COLUMNS * columns * COLUMNS..][..columns * COLUMNS];
        for (to, from) in panel.chunks_exact_mut(COLUMNS).zip(from) {
            to[row % COLUMNS] = *from;
        }
    }
    values
}

impl Kernel<1> for FrozenLinear {
    type State = ();

    const KIND: KernelKind = KernelKind::Linear;

    fn operations(&self) -> usize {
        2 * self.shape.num_elements() * self.sizes()[1]
    }

    fn forward(&self, [x]: [&[f32]; 1]) -> (Vec<f32>, Shape) {
        let output = self.multiply(x, Layout::Forward, self.bias.as_ref().map(values));
        (output, self.with_last(self.sizes()[1]))
    }

    fn state(&self, _: [FlexTensor; 1]) {}

    fn backward(&self, (): (), gradient: &[f32], _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(tensor(self.multiply(gradient, Layout::Backward, None), self.shape.clone()))]
    }
}
