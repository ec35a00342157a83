//! Copying blocks of factors so that they are read in the order in which they lie.

use super::tile::{LINE, Lanes};
use crate::kernel::fetch::fetch;

/// Some columns of a matrix, row after row.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a, T> {
    pub(super) elements: &'a [T],
    /// How many columns there are in all.
    pub(super) stride: usize,
    pub(super) first: usize,
}

/// Memory for so many elements, and where in it a cache line starts.
pub(super) fn room<T: Lanes>(len: usize) -> (Vec<T>, usize) {
    let room = vec![T::default(); len + LINE / size_of::<T>()];
    let aligned = room.as_ptr().align_offset(LINE);
    (room, aligned)
}

/// Copies a block of `b` into panels of `width` columns, one after the other, each row after row. What is missing of
/// the last is whatever was there.
#[inline(always)]
pub(super) fn pack_b<T: Lanes>(
    block: &mut [T],
    b: Columns<'_, T>,
    [start, terms]: [usize; 2],
    [left, columns]: [usize; 2],
    width: usize,
) {
    /// Rows are far from each other, so some cache lines of each are read while it is there.
    const AT_ONCE: usize = 4;
    let rows = b.elements.chunks_exact(b.stride).skip(start);
    for from in (0..columns).step_by(AT_ONCE * width) {
        let some = (AT_ONCE * width).min(columns - from);
        let panels = &mut block[from * terms..];
        for (term, row) in rows.clone().take(terms).enumerate() {
            for (panel, part) in row[left + from..][..some].chunks(width).enumerate() {
                let to = &mut panels[(panel * terms + term) * width..][..width];
                // Whole panels go through registers: of doubles or floats, and by vectors of 32 bytes or of 64.
                if let (Some(to), Some(part)) = (to.as_mut_array::<8>(), part.as_array()) {
                    *to = *part;
                } else if let (Some(to), Some(part)) = (to.as_mut_array::<16>(), part.as_array()) {
                    *to = *part;
                } else if let (Some(to), Some(part)) = (to.as_mut_array::<24>(), part.as_array()) {
                    *to = *part;
                } else if let (Some(to), Some(part)) = (to.as_mut_array::<48>(), part.as_array()) {
                    *to = *part;
                } else {
                    to[..part.len()].copy_from_slice(part);
                }
            }
        }
    }
}

/// Copies a part of the first rows of `a` into a panel, column after column. What is missing of the last panel is
/// whatever its first row has. The rows after them are fetched, for the next panel.
#[inline(always)]
pub(super) fn pack_a<T: Lanes, const R: usize>(panel: &mut [[T; R]], a: &[T], k: usize, start: usize) {
    /// So many columns are turned in registers.
    const AT_ONCE: usize = 8;
    let terms = panel.len();
    let mut rows = [&a[start..][..terms]; R];
    for (row, a) in rows.iter_mut().zip(a.chunks_exact(k)) {
        *row = &a[start..][..terms];
    }
    let (groups, rest) = panel.as_chunks_mut::<AT_ONCE>();
    let (count, done) = (groups.len(), groups.len() * AT_ONCE);
    let mut parts: [&[[T; AT_ONCE]]; R] = [&[]; R];
    // Loops, not closures: those would be compiled without vectors.
    for (part, row) in parts.iter_mut().zip(rows) {
        *part = &row.as_chunks().0[..count];
    }
    for (index, group) in groups.iter_mut().enumerate() {
        for row in R..2 * R {
            if let Some(next) = a.get(row * k + start + index * AT_ONCE) {
                fetch(next);
            }
        }
        let mut square = [[T::default(); AT_ONCE]; R];
        for row in 0..R {
            square[row] = parts[row][index];
        }
        for column in 0..AT_ONCE {
            for row in 0..R {
                group[column][row] = square[row][column];
            }
        }
    }
    for (index, column) in rest.iter_mut().enumerate() {
        for row in 0..R {
            column[row] = rows[row][done + index];
        }
    }
}
