//! Products of matrices that lie in slices, by the crate `gemm`.

/// A matrix inside a slice. Its element `[row, column]` is
/// `values[row * row_stride + column * column_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows follow each other.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// A matrix whose rows begin `row_stride` elements from each other.
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    pub fn transpose(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// The number of elements up to the last one.
    fn span(&self) -> usize {
        match (self.rows, self.columns) {
            (0, _) | (_, 0) => 0,
            (rows, columns) => (rows - 1)
                .checked_mul(self.row_stride)
                .zip((columns - 1).checked_mul(self.column_stride))
                .and_then(|(down, right)| down.checked_add(right)?.checked_add(1))
                .unwrap_or(usize::MAX),
        }
    }
}

/// `output = scale * left * right` or, to `accumulate`, `output += scale * left * right`, on this
/// thread alone. The output's rows begin `row_stride` elements from each other; what lies between
/// them stays.
///
/// # Panics
///
/// If the sizes do not fit.
#[allow(unsafe_code)]
pub(super) fn multiply(
    output: &mut [f32],
    row_stride: usize,
    left: Matrix,
    right: Matrix,
    scale: f32,
    accumulate: bool,
) {
    assert_eq!(left.columns, right.rows, "the inner sizes are the same");
    let (rows, columns) = (left.rows, right.columns);
    let target = Matrix::strided(output, rows, columns, row_stride);
    assert!(columns <= row_stride || rows <= 1, "the output's rows do not overlap");
    assert!(target.span() <= output.len(), "the output has room");
    assert!(left.span() <= left.values.len() && right.span() <= right.values.len());
    // SAFETY: `gemm` reads element [i, k] of the left and [k, j] of the right matrix and reads and
    // writes element [i, j] of the output, for i, j and k below the sizes given. By the assertions
    // all of them lie in their slices, whose lengths, and so every stride that is multiplied by
    // more than 0, fit `isize`; no two elements of the output are one, and the output is borrowed
    // mutably, so that it overlaps neither input.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            left.columns,
            output.as_mut_ptr(),
            1,
            row_stride as isize,
            accumulate,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
