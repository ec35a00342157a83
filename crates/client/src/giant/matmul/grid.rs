//! How a product is cut into tiles.

/// So many rows of tiles, and so many columns of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    /// Into how many row blocks the left factor is cut.
    pub rows: u64,
    /// Into how many column blocks the right factor is cut.
    pub columns: u64,
}

impl Grid {
    /// The grid of at least so many tiles, of at most so many elements each with their factors', that sends the fewest elements, for an
    /// m x k and a k x n matrix: the left factor goes out once for each column of tiles, the right one once for
    /// each row. There are never more tiles than elements.
    pub fn of([m, k, n]: [u64; 3], pieces: u32, most: u64) -> Self {
        let (m, n) = (m.max(1), n.max(1));
        let mut wanted = u64::from(pieces.max(1));
        loop {
            let grid = Self::fewest([m, k, n], wanted);
            let tile = Self::elements(m.div_ceil(grid.rows), k, n.div_ceil(grid.columns));
            if tile <= most || (grid.rows, grid.columns) == (m, n) || wanted >= Self::MOST {
                return grid;
            }
            wanted += (wanted / 16).max(1);
        }
    }

    /// More tiles than this are never wanted, however little memory there is.
    const MOST: u64 = 1 << 14;

    fn fewest([m, k, n]: [u64; 3], wanted: u64) -> Self {
        let grids = (1..=wanted.min(m)).map(|rows| Self { rows, columns: wanted.div_ceil(rows).min(n) });
        // Where too few columns are left, more rows make up for them.
        let grids = grids.chain([Self { rows: wanted.div_ceil(n).clamp(1, m), columns: wanted.min(n) }]);
        let enough = |grid: &Self| grid.tiles() >= wanted.min(m.saturating_mul(n));
        let sent = |grid: &Self| (grid.sent([m, k, n]), grid.tiles());
        let whole = Self { rows: m.min(wanted), columns: n.min(wanted) };
        grids.filter(enough).min_by_key(sent).unwrap_or(whole)
    }

    /// How many tiles there are.
    pub fn tiles(&self) -> u64 {
        self.rows.saturating_mul(self.columns)
    }

    /// How many elements go out.
    pub fn sent(&self, [m, k, n]: [u64; 3]) -> u128 {
        let (m, k, n) = (u128::from(m), u128::from(k), u128::from(n));
        (m * k).saturating_mul(self.columns.into()).saturating_add((k * n).saturating_mul(self.rows.into()))
    }

    /// How many elements a tile of m x n has, with its factors.
    pub fn elements(m: u64, k: u64, n: u64) -> u64 {
        let product = |x: u64, y: u64| x.saturating_mul(y);
        product(m, k).saturating_add(product(k, n)).saturating_add(product(m, n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: u64 = u64::MAX;

    #[test]
    fn squares_are_cut_into_squares_and_strips_into_strips() {
        let grid = |shape, pieces, most| {
            let Grid { rows, columns } = Grid::of(shape, pieces, most);
            (rows, columns)
        };
        assert_eq!(grid([4096, 4096, 4096], 1, ALL), (1, 1));
        assert_eq!(grid([4096, 4096, 4096], 16, ALL), (4, 4));
        assert_eq!(grid([100_000, 100, 100], 8, ALL), (8, 1));
        assert_eq!(grid([100, 100, 100_000], 8, ALL), (1, 8));
        assert_eq!(grid([1, 50, 3], 8, ALL), (1, 3));
        assert_eq!(grid([0, 5, 0], 8, ALL), (1, 1));
        // 1/4 of 16 Mi elements of either factor, and 1/16 of the product.
        assert_eq!(grid([4096, 4096, 4096], 2, 9 << 20), (4, 4));
    }

    proptest! {
        #[test]
        fn there_are_as_many_tiles_as_asked_for_and_none_is_empty(
            m in 0u64..3000, k in 0u64..3000, n in 0u64..3000, pieces in 1u32..200, most in 1u64..1 << 25,
        ) {
            let grid = Grid::of([m, k, n], pieces, most);
            let tiles = m.max(1) * n.max(1);
            prop_assert!(grid.tiles() >= u64::from(pieces).min(tiles));
            prop_assert!(grid.rows <= m.max(1) && grid.columns <= n.max(1));
        }
    }
}
