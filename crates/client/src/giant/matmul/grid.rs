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
    /// The grid of at least so many tiles, of at most so many elements each with their factors', that sends the fewest
    /// elements, for an m x k and a k x n matrix and if every tile goes to another worker: the left factor goes out once
    /// for each column of tiles, the right one once for each row. There are never more tiles than elements.
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

    /// Whether some workers, of so many, compute several tiles, so that what these have in common is worth sending by itself.
    pub fn is_shared(&self, workers: u32) -> bool {
        self.tiles() > u64::from(workers)
    }

    /// How many elements of the factors really go out to so many workers, whichever of them each tile happens to go to:
    /// a block that several tiles have goes once to each worker that has one of them.
    pub fn delivered(&self, shape: [u64; 3], workers: u32) -> f64 {
        if !self.is_shared(workers) {
            return self.sent(shape) as f64;
        }
        let [m, k, n] = shape.map(|length| length as f64);
        let workers = f64::from(workers.max(1));
        // Of the workers a tile passes by all but one, so many tiles pass by this part of them.
        let reached = |tiles: u64| workers * (1.0 - (1.0 - 1.0 / workers).powf(tiles as f64));
        m * k * reached(self.columns) + k * n * reached(self.rows)
    }

    /// How many elements go out with every tile as it is.
    fn sent(&self, [m, k, n]: [u64; 3]) -> u128 {
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

    #[test]
    fn what_tiles_have_in_common_goes_once_to_each_worker() {
        let grid = Grid { rows: 4, columns: 4 };
        let square = [100; 3];
        let factors = |workers| grid.delivered(square, workers) / 1e4;
        assert_eq!(factors(0), 2.0);
        assert_eq!(factors(1), 2.0);
        // To two workers both, at the most, and of 16 blocks one or other is not needed everywhere.
        assert!((3.0..4.0).contains(&factors(2)), "{}", factors(2));
        // As many workers as tiles: nothing is sent twice to the same.
        assert_eq!((factors(16), factors(1000)), (8.0, 8.0));
        assert!((6.0..8.0).contains(&factors(15)), "{}", factors(15));
        let strips = Grid { rows: 1, columns: 8 };
        assert!(
            (strips.delivered(square, 2) / 1e4 - 3.0).abs() < 0.01,
            "one factor to both, of the other a part each"
        );
    }

    proptest! {
        #[test]
        fn no_worker_is_sent_more_than_both_factors_nor_more_than_its_tiles_have(
            rows in 1u64..20, columns in 1u64..20, workers in 1u32..500,
        ) {
            let grid = Grid { rows, columns };
            let shape = [300, 200, 100];
            let delivered = grid.delivered(shape, workers);
            let factors = f64::from(300 * 200 + 200 * 100);
            let rounding = 1.0 + 1e-9;
            prop_assert!(delivered <= grid.sent(shape) as f64 * rounding);
            prop_assert!(delivered <= f64::from(workers) * factors * rounding && delivered * rounding >= factors);
        }

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
