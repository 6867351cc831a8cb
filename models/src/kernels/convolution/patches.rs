//! The values that a convolution multiplies, gathered from pictures and scattered back.

use std::ops::Range;

use super::geometry::Convolution;

impl Convolution {
    /// Row `depth` of `patches` is, for each output pixel of `rows`, the value that it multiplies
    /// by the weight of the input channel and tap which `depth` numbers; 0 in the padding.
    pub(super) fn gather(&self, x: &[f32], rows: Range<usize>, patches: &mut [f32]) {
        let columns = rows.len() * self.output[1];
        for (depth, patch) in patches.chunks_exact_mut(columns.max(1)).enumerate() {
            self.gather_row(x, depth, rows.clone(), patch);
        }
    }

    /// One of these rows.
    pub(super) fn gather_row(
        &self,
        x: &[f32],
        depth: usize,
        rows: Range<usize>,
        patch: &mut [f32],
    ) {
        let (channel, tap) = (depth / self.taps(), depth % self.taps());
        let (mut row, mut rest) = (rows.start, patch);
        while row < rows.end {
            let (picture, inside) = (row / self.output[0], row % self.output[0]);
            let count = (self.output[0] - inside).min(rows.end - row);
            let (here, next) = rest.split_at_mut(count * self.output[1]);
            let plane = (picture * self.channels_in + channel) * self.pixels_in();
            let plane = &x[plane..][..self.pixels_in()];
            self.gather_plane(plane, tap, inside..inside + count, here);
            (row, rest) = (row + count, next);
        }
    }

    fn gather_plane(&self, plane: &[f32], tap: usize, rows: Range<usize>, patch: &mut [f32]) {
        let [down, right] = self.offset(tap);
        let width = self.output[1];
        if let Some(shifted) = self.shifted(tap, &rows) {
            patch[shifted.patch.clone()].copy_from_slice(&plane[shifted.plane]);
            patch[..shifted.patch.start].fill(0.0);
            patch[shifted.patch.end..].fill(0.0);
            clear_wrapped(patch, width, right as isize - self.padding[1] as isize);
            return;
        }
        for (row, patch) in rows.zip(patch.chunks_exact_mut(width)) {
            let Some(y) = self.source(0, row, down) else {
                patch.fill(0.0);
                continue;
            };
            let line = &plane[y * self.input[1]..][..self.input[1]];
            for (column, value) in patch.iter_mut().enumerate() {
                *value = self.source(1, column, right).map_or(0.0, |x| line[x]);
            }
        }
    }

    /// The reverse of `gather_plane`: adds `patch` to where its values came from.
    pub(super) fn scatter_plane(
        &self,
        patch: &mut [f32],
        tap: usize,
        rows: Range<usize>,
        plane: &mut [f32],
    ) {
        let [down, right] = self.offset(tap);
        let width = self.output[1];
        if let Some(shifted) = self.shifted(tap, &rows) {
            clear_wrapped(patch, width, right as isize - self.padding[1] as isize);
            let from = &patch[shifted.patch];
            for (to, from) in plane[shifted.plane].iter_mut().zip(from) {
                *to += from;
            }
            return;
        }
        for (row, patch) in rows.zip(patch.chunks_exact(width)) {
            let Some(y) = self.source(0, row, down) else { continue };
            let line = &mut plane[y * self.input[1]..][..self.input[1]];
            for (column, value) in patch.iter().enumerate() {
                if let Some(x) = self.source(1, column, right) {
                    line[x] += value;
                }
            }
        }
    }

    /// Where stride 1 keeps the width, the patch of a tap is the plane itself, shifted, but for
    /// what wraps around its sides.
    fn shifted(&self, tap: usize, rows: &Range<usize>) -> Option<Shifted> {
        if self.stride != [1, 1] || self.output[1] != self.input[1] {
            return None;
        }
        let [down, right] = self.offset(tap);
        let shift = (down as isize - self.padding[0] as isize) * self.input[1] as isize
            + right as isize
            - self.padding[1] as isize;
        let start = (rows.start * self.input[1]) as isize + shift;
        let length = (rows.len() * self.input[1]) as isize;
        let pixels = self.pixels_in() as isize;
        let (first, last) = (start.clamp(0, pixels), (start + length).clamp(0, pixels));
        if first == last {
            return Some(Shifted { patch: 0..0, plane: 0..0 });
        }
        Some(Shifted {
            patch: (first - start) as usize..(last - start) as usize,
            plane: first as usize..last as usize,
        })
    }
}

/// A run of values in a patch, and where they lie in the plane.
struct Shifted {
    patch: Range<usize>,
    plane: Range<usize>,
}

/// Clears the first or last values of each line of `width` values: those which a shift by `right`
/// took from the line before or after.
fn clear_wrapped(patch: &mut [f32], width: usize, right: isize) {
    let wrapped = right.unsigned_abs().min(width);
    if wrapped == 0 {
        return;
    }
    let start = if right < 0 { 0 } else { width - wrapped };
    for line in patch.chunks_exact_mut(width) {
        line[start..start + wrapped].fill(0.0);
    }
}
