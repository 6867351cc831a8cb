//! Products of matrices that lie in panels: the left factor [`ROWS`] rows at a time, unless it is
//! [plain](Panels::Plain), the right one [`COLUMNS`] columns, each panel `inner` steps long, so that both
//! are read from front to back. Every element of a product is the sum over the inner index from first to
//! last, each term by one fused multiplication and addition where the processor has them: the same bits
//! however the work is cut, and however wide the vectors are.

use pulp::{Arch, Simd, WithSimd};

/// Rows of a panel of the left factor.
pub(super) const ROWS: usize = 8;
/// Columns of a panel of the right factor.
pub(super) const COLUMNS: usize = 16;

/// A left factor's panel: at each inner index, a value of each row.
pub(super) type Left = [f32; ROWS];
/// A right factor's panel: at each inner index, a value of each column.
pub(super) type Right = [f32; COLUMNS];

/// How many panels hold so many rows or columns.
pub(super) const fn panels(length: usize, width: usize) -> usize {
    length.div_ceil(width)
}

/// A left factor, as a rule in panels that begin `apart` steps from each other.
#[derive(Clone, Copy)]
pub(super) enum Panels<'a> {
    /// Not in panels: its rows, which begin `apart` values from each other. What is read once or a few
    /// times is not worth to be laid out.
    Plain {
        values: &'a [f32],
        apart: usize,
    },
    Rows {
        values: &'a [Left],
        apart: usize,
    },
    /// Of the transpose, whose rows are this factor's inner index. What the last of its rows lack is 0,
    /// and there are values after the last panel.
    Transposed {
        values: &'a [Left],
        apart: usize,
    },
}

/// Calls `store` with each row below `rows` and each panel of columns of the product.
///
/// # Shapes
///
/// - left: `[rows, inner]`
/// - right: `[panels, inner]`
///
/// # Panics
///
/// If the left factor is smaller, or the right one is not of whole panels.
pub(super) fn multiply(
    left: Panels,
    right: &[Right],
    inner: usize,
    rows: usize,
    store: impl FnMut(usize, usize, &Right),
) {
    assert!(inner > 0 && right.len().is_multiple_of(inner), "whole panels");
    Arch::new().dispatch(Product { left, right, inner, rows, store });
}

struct Product<'a, F> {
    left: Panels<'a>,
    right: &'a [Right],
    inner: usize,
    rows: usize,
    store: F,
}

impl<F: FnMut(usize, usize, &Right)> WithSimd for Product<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // as many sums as there are registers for, with room for the factors
        match S::F32_LANES {
            16 => self.run::<S, 8, 3, 1>(simd),
            8 => self.run::<S, 4, 1, 2>(simd),
            4 if cfg!(target_arch = "aarch64") => self.run::<S, 4, 1, 4>(simd),
            4 => self.run::<S, 2, 1, 4>(simd),
            _ => self.run::<S, 1, 1, COLUMNS>(simd),
        }
    }
}

impl<F: FnMut(usize, usize, &Right)> Product<'_, F> {
    /// By tiles of `HEIGHT` rows and `WIDTH` panels of columns, each of `VECTORS` vectors.
    #[inline(always)]
    fn run<S: Simd, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize>(
        mut self,
        simd: S,
    ) {
        let count = self.right.len() / self.inner;
        let mut panel = 0;
        while panel + WIDTH <= count {
            self.column::<S, HEIGHT, WIDTH, VECTORS>(simd, panel);
            panel += WIDTH;
        }
        while panel < count {
            self.column::<S, HEIGHT, 1, VECTORS>(simd, panel);
            panel += 1;
        }
    }

    /// All rows of `WIDTH` panels of columns.
    #[inline(always)]
    fn column<S: Simd, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        first: usize,
    ) {
        let inner = self.inner;
        let right: [&[Right]; WIDTH] =
            std::array::from_fn(|i| &self.right[(first + i) * inner..][..inner]);
        for row in (0..self.rows).step_by(HEIGHT) {
            let sums = match self.left {
                Panels::Plain { values, apart } => {
                    // below the last row, that row again
                    let left: [&[f32]; HEIGHT] = std::array::from_fn(|h| {
                        &values[(row + h).min(self.rows - 1) * apart..][..inner]
                    });
                    tile::<S, HEIGHT, WIDTH, VECTORS>(
                        simd,
                        right,
                        #[inline(always)]
                        |k: usize, h: usize| left[h][k],
                    )
                }
                Panels::Rows { values, apart } => {
                    let left = &values[row / ROWS * apart..][..inner];
                    tile::<S, HEIGHT, WIDTH, VECTORS>(
                        simd,
                        right,
                        #[inline(always)]
                        |k: usize, h: usize| left[k][row % ROWS + h],
                    )
                }
                Panels::Transposed { values, apart } => {
                    let left = (0..inner / ROWS).map(|i| &values[i * apart + row..][..HEIGHT]);
                    transposed::<S, HEIGHT, WIDTH, VECTORS>(simd, left, right)
                }
            };
            for (h, sums) in sums.iter().enumerate().take(self.rows - row) {
                for (w, sums) in sums.iter().enumerate() {
                    (self.store)(row + h, first + w, sums);
                }
            }
        }
    }
}

/// The sums of a tile.
type Sums<S, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize> =
    [[[<S as Simd>::f32s; VECTORS]; WIDTH]; HEIGHT];

/// Of `HEIGHT` rows by some right panels, where row `h` has `factor(k, h)` at inner index `k`.
#[inline(always)]
fn tile<S: Simd, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize>(
    simd: S,
    right: [&[Right]; WIDTH],
    factor: impl Fn(usize, usize) -> f32,
) -> [[Right; WIDTH]; HEIGHT] {
    let inner = right[0].len();
    let right = right.map(|panel| &panel[..inner]);
    let mut sums = [[[simd.splat_f32s(0.0); VECTORS]; WIDTH]; HEIGHT];
    for k in 0..inner {
        add(
            simd,
            &mut sums,
            right.map(|panel| &panel[k]),
            #[inline(always)]
            |h: usize| factor(k, h),
        );
    }
    values::<S, HEIGHT, WIDTH, VECTORS>(sums)
}

/// The same for a transposed left factor: for each eight inner steps, `HEIGHT` rows.
#[inline(always)]
fn transposed<'a, S: Simd, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize>(
    simd: S,
    left: impl Iterator<Item = &'a [Left]>,
    right: [&[Right]; WIDTH],
) -> [[Right; WIDTH]; HEIGHT] {
    let mut sums = [[[simd.splat_f32s(0.0); VECTORS]; WIDTH]; HEIGHT];
    for (block, left) in left.enumerate() {
        let left = &left[..HEIGHT];
        let right = right.map(|panel| &panel[block * ROWS..][..ROWS]);
        for k in 0..ROWS {
            add(
                simd,
                &mut sums,
                right.map(|panel| &panel[k]),
                #[inline(always)]
                |h: usize| left[h][k],
            );
        }
    }
    values::<S, HEIGHT, WIDTH, VECTORS>(sums)
}

/// One inner step. The factors come one after the other: all at once they would take registers that the
/// sums need.
#[inline(always)]
fn add<S: Simd, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize>(
    simd: S,
    sums: &mut Sums<S, HEIGHT, WIDTH, VECTORS>,
    right: [&Right; WIDTH],
    factor: impl Fn(usize) -> f32,
) {
    let vectors = right.map(|values| S::as_simd_f32s(values).0);
    for (h, sums) in sums.iter_mut().enumerate() {
        let factor = simd.splat_f32s(factor(h));
        for w in 0..WIDTH {
            for v in 0..VECTORS {
                sums[w][v] = simd.mul_add_e_f32s(factor, vectors[w][v], sums[w][v]);
            }
        }
    }
}

#[inline(always)]
fn values<S: Simd, const HEIGHT: usize, const WIDTH: usize, const VECTORS: usize>(
    sums: Sums<S, HEIGHT, WIDTH, VECTORS>,
) -> [[Right; WIDTH]; HEIGHT] {
    let mut values = [[[0.0; COLUMNS]; WIDTH]; HEIGHT];
    for (values, sums) in values.iter_mut().zip(&sums) {
        for (values, sums) in values.iter_mut().zip(sums) {
            S::as_mut_simd_f32s(values).0.copy_from_slice(sums);
        }
    }
    values
}
