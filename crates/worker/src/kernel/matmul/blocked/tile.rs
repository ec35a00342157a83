//! A tile of the product: as many rows and columns as their sums fit in the registers, beside what they are made of.

use crate::kernel::fetch::fetch;
use pulp::{NullaryFnOnce, Simd};

/// How many terms are added in a turn of the loop.
pub(super) const TERMS: usize = 4;

/// How many bytes a cache line has.
pub(super) const LINE: usize = 64;

/// Numbers that are multiplied as many at a time as a vector holds.
pub(in super::super) trait Lanes: Copy + Default + Send + Sync {
    /// A vector of them.
    type Vector<S: Simd>: Copy;

    /// The vectors that are in a slice, without a rest.
    fn vectors<S: Simd>(numbers: &[Self]) -> &[Self::Vector<S>];

    /// The same, to write to.
    fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [Self::Vector<S>];

    /// A vector of the same number.
    fn splat<S: Simd>(simd: S, number: Self) -> Self::Vector<S>;

    /// A vector that starts with these, of which there are not too many.
    fn load<S: Simd>(simd: S, numbers: &[Self]) -> Self::Vector<S>;

    /// Writes the start of a vector.
    fn store<S: Simd>(simd: S, numbers: &mut [Self], vector: Self::Vector<S>);

    /// `a b + c`.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;

    /// `a + b`.
    fn add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
}

macro_rules! lanes {
    ($number:ty, $vector:ident, $as_simd:ident, $as_mut_simd:ident, $splat:ident, $load:ident, $store:ident, $mul_add:ident, $add:ident) => {
        impl Lanes for $number {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn vectors<S: Simd>(numbers: &[Self]) -> &[S::$vector] {
                S::$as_simd(numbers).0
            }

            #[inline(always)]
            fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [S::$vector] {
                S::$as_mut_simd(numbers).0
            }

            #[inline(always)]
            fn splat<S: Simd>(simd: S, number: Self) -> S::$vector {
                simd.$splat(number)
            }

            #[inline(always)]
            fn load<S: Simd>(simd: S, numbers: &[Self]) -> S::$vector {
                simd.$load(numbers)
            }

            #[inline(always)]
            fn store<S: Simd>(simd: S, numbers: &mut [Self], vector: S::$vector) {
                simd.$store(numbers, vector);
            }

            #[inline(always)]
            fn mul_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }

            #[inline(always)]
            fn add<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
        }
    };
}

lanes!(
    f64,
    f64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    splat_f64s,
    partial_load_f64s,
    partial_store_f64s,
    mul_add_f64s,
    add_f64s
);
lanes!(
    f32,
    f32s,
    as_simd_f32s,
    as_mut_simd_f32s,
    splat_f32s,
    partial_load_f32s,
    partial_store_f32s,
    mul_add_f32s,
    add_f32s
);

/// How many numbers there are in a vector.
#[inline(always)]
pub(super) const fn lanes<S: Simd, T: Lanes>() -> usize {
    size_of::<T::Vector<S>>() / size_of::<T>()
}

/// Where in its rows a tile is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) left: usize,
    pub(super) width: usize,
    /// Whether what is there is a sum of other terms.
    pub(super) add: bool,
}

/// Writes a panel of `a`, of `R` rows, times one of `b`, of `W` vectors, to the rows of `c`, or adds it. There may be fewer
/// rows than in a panel, and fewer columns. Fetches meanwhile what is ahead, as far as there is time for it.
#[inline(always)]
pub(super) fn multiply<S: Simd, T: Lanes, const R: usize, const W: usize>(
    simd: S,
    c: &mut [&mut [T]],
    a: &[[T; R]],
    b: &[T],
    ahead: &[T],
    place: Place,
) {
    match c.len() {
        1 => rows::<S, T, R, W, 1>(simd, c, a, b, ahead, place),
        2 => rows::<S, T, R, W, 2>(simd, c, a, b, ahead, place),
        3 => rows::<S, T, R, W, 3>(simd, c, a, b, ahead, place),
        4 => rows::<S, T, R, W, 4>(simd, c, a, b, ahead, place),
        5 => rows::<S, T, R, W, 5>(simd, c, a, b, ahead, place),
        6 if R > 6 => rows::<S, T, R, W, 6>(simd, c, a, b, ahead, place),
        7 if R > 7 => rows::<S, T, R, W, 7>(simd, c, a, b, ahead, place),
        _ => rows::<S, T, R, W, R>(simd, c, a, b, ahead, place),
    }
}

type Sums<S, T, const W: usize, const H: usize> = [[<T as Lanes>::Vector<S>; W]; H];

// Loops over indices here, which are written out: sums must be in registers, not in an array.
#[inline(always)]
fn rows<S: Simd, T: Lanes, const R: usize, const W: usize, const H: usize>(
    simd: S,
    c: &mut [&mut [T]],
    a: &[[T; R]],
    b: &[T],
    ahead: &[T],
    place @ Place { left, width, add }: Place,
) {
    let Some(c) = c.first_chunk_mut::<H>() else { return };
    let mut sums: Sums<S, T, W, H> = [[T::splat(simd, T::default()); W]; H];
    let (a_turns, a_rest) = a.as_chunks::<TERMS>();
    let (b_turns, b_rest) = T::vectors::<S>(b).as_chunks::<W>().0.as_chunks::<TERMS>();
    // What is in the places is needed when all terms are added up. A row's is fetched with every fourth turn, because a core
    // has few lines under way at a time; with every turn where there are few.
    let apart = if a_turns.len() < 4 * H { 1 } else { 4 };
    let (mut rows, mut next) = (c.iter(), 0);
    let mut ahead = ahead.chunks(LINE / size_of::<T>());
    for (turn, (a, b)) in a_turns.iter().zip(b_turns).enumerate() {
        if let Some(line) = ahead.next() {
            fetch(&line[0]);
        }
        if turn == next
            && let Some(row) = rows.next()
        {
            next += apart;
            for column in 0..W {
                fetch(&row[left + (column * lanes::<S, T>()).min(width - 1)]);
            }
            fetch(&row[left + width - 1]);
        }
        for term in 0..TERMS {
            sums = with_term(simd, sums, &a[term], b[term]);
        }
    }
    for (a, &b) in a_rest.iter().zip(b_rest) {
        sums = with_term(simd, sums, a, b);
    }
    if width < W * lanes::<S, T>() {
        simd.vectorize(Edge { simd, c, sums, place });
        return;
    }
    for row in 0..H {
        if let Some(c) = T::vectors_mut::<S>(&mut c[row][left..]).first_chunk_mut::<W>() {
            for column in 0..W {
                let sum = sums[row][column];
                c[column] = if add { T::add(simd, c[column], sum) } else { sum };
            }
        }
    }
}

#[inline(always)]
fn with_term<S: Simd, T: Lanes, const R: usize, const W: usize, const H: usize>(
    simd: S,
    mut sums: Sums<S, T, W, H>,
    a: &[T; R],
    b: [T::Vector<S>; W],
) -> Sums<S, T, W, H> {
    for row in 0..H {
        let a = T::splat(simd, a[row]);
        for column in 0..W {
            sums[row][column] = T::mul_add(simd, a, b[column], sums[row][column]);
        }
    }
    sums
}

/// Writes the part of a tile that is in the matrix. Rare, so that it is not written out in the loops.
struct Edge<'t, 'c, S: Simd, T: Lanes, const W: usize, const H: usize> {
    simd: S,
    c: &'t mut [&'c mut [T]; H],
    sums: Sums<S, T, W, H>,
    place: Place,
}

impl<S: Simd, T: Lanes, const W: usize, const H: usize> NullaryFnOnce for Edge<'_, '_, S, T, W, H> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, c, sums, place: Place { left, width, add } } = self;
        for (row, sums) in c.iter_mut().zip(sums) {
            for (c, sum) in row[left..][..width].chunks_mut(lanes::<S, T>()).zip(sums) {
                let sum = if add { T::add(simd, T::load(simd, c), sum) } else { sum };
                T::store(simd, c, sum);
            }
        }
    }
}
