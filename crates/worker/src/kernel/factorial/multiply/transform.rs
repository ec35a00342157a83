//! Number-theoretic transforms: a polynomial's values at roots of unity, and back.
//!
//! A transform of length n takes a polynomial modulo x^n - 1, which is (x^(n/2) - 1)(x^(n/2) + 1), to its remainders
//! modulo the two factors, each of which is x^m - r^2 again, and so on down to constants. Node j of a level has
//! r = [`Twiddles`]`[j]`, its children are nodes 2j and 2j + 1, and four grandchildren are made at a time. Going back
//! takes the same steps backwards. The values come in an order of their own, which products do not mind.
//!
//! Lengths are powers of two, and three quarters of them: of the four grandchildren of the root the last is left out,
//! as van der Hoeven's truncated transform does ("The truncated Fourier transform and applications", ISSAC 2004).

mod steps;

use super::lanes::Lanes;
use crate::cancel::Cancel;
use pulp::{Arch, Simd, WithSimd};
use sgdt_proto::task::TaskError;
use std::{array::from_fn, mem::take, ops::Range};
use steps::{
    Parts, Quarters, SplitQuarters, SplitThirds, Step, Taken, UniteQuarters, UniteThirds, quarters, thirds,
};

/// What is transformed without asking whether to go on: a quarter of a second-level cache of 1 MiB, some 20 us.
const BLOCK: usize = 1 << 12;

/// Shorter nodes are not worth another thread, which takes some 50 us to start, and twice as much on a core at rest:
/// some 300 us.
pub(super) const SHARED: usize = 1 << 15;

/// Where there is but a step to take for each, eight times as many are as little.
pub(super) const QUICK: usize = 1 << 18;

/// The least length of at least `count` that there is.
pub(super) fn length(count: usize) -> usize {
    let power = count.max(4).next_power_of_two();
    if count <= power / 4 * 3 { power / 4 * 3 } else { power }
}

/// Roots of unity: `[2j]` is a square root of `[j]`, and `[2j + 1]` one of `-[j]`.
pub(super) struct Twiddles(Vec<Lanes>);

impl Twiddles {
    /// As many as transforms of this length take.
    ///
    /// # Errors
    /// There is no memory for them; `cancelled` or `timeout`.
    pub(super) fn of(length: usize, cancel: &Cancel) -> Result<Self, TaskError> {
        let count = length.next_power_of_two() / 2;
        let mut roots = super::reserved(count)?;
        roots.push(Lanes::ONE);
        while roots.len() < count {
            let known = roots.len();
            // The angles that there are, and as many that are greater by half of the least of them.
            let more = Lanes::root(known.ilog2() + 2);
            for start in (0..known).step_by(BLOCK) {
                cancel.check()?;
                let range = start..known.min(start + BLOCK);
                Arch::new().dispatch(Turned { roots: &mut roots, range, by: more });
            }
        }
        Ok(Self(roots))
    }

    #[inline(always)]
    fn at(&self, node: usize) -> Lanes {
        self.0[node]
    }

    /// One over `at(node)`, but for the sign.
    #[inline(always)]
    fn inverse(&self, node: usize) -> Lanes {
        match node.checked_ilog2() {
            Some(log) => self.0[(3 << log) - 1 - node],
            None => Lanes::ONE,
        }
    }
}

/// Some roots, turned by an angle, after those that there are.
struct Turned<'a> {
    roots: &'a mut Vec<Lanes>,
    range: Range<usize>,
    by: Lanes,
}

impl WithSimd for Turned<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for index in self.range {
            self.roots.push(self.roots[index].times(simd, self.by).reduced(simd));
        }
    }
}

/// The values of the polynomial with these coefficients, of up to 2.5 primes in size; so are the values.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn forward(x: &mut [Lanes], twiddles: &Twiddles, cancel: &Cancel) -> Result<(), TaskError> {
    if x.len().is_power_of_two() {
        return forward_node(x, 0, twiddles, cancel);
    }
    pass(thirds(x), 0, twiddles, cancel, SplitThirds)?;
    let [a, b, c] = thirds(x);
    let node = |x: &mut [Lanes], node| forward_node(x, node, twiddles, cancel);
    if 3 * a.len() <= SHARED {
        return node(a, 0).and_then(|()| node(b, 1)).and_then(|()| node(c, 2));
    }
    pass(quarters(b), 1, twiddles, cancel, SplitQuarters)?;
    one_and_a_half_each(a, quarters(b), c, cancel, node)
}

/// The coefficients of the polynomial with these values, of up to one prime in size, times [`scale`]; so are the
/// coefficients.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn backward(x: &mut [Lanes], twiddles: &Twiddles, cancel: &Cancel) -> Result<(), TaskError> {
    if x.len().is_power_of_two() {
        return backward_node(x, 0, twiddles, cancel);
    }
    let [a, b, c] = thirds(x);
    let node = |x: &mut [Lanes], node| backward_node(x, node, twiddles, cancel);
    if 3 * a.len() <= SHARED {
        node(a, 0).and_then(|()| node(b, 1)).and_then(|()| node(c, 2))?;
    } else {
        one_and_a_half_each(a, quarters(b), c, cancel, node)?;
        pass(quarters(b), 1, twiddles, cancel, UniteQuarters)?;
    }
    pass(thirds(x), 0, twiddles, cancel, UniteThirds)
}

/// What coefficients come back multiplied by.
pub(super) fn scale(length: usize) -> u64 {
    length.next_power_of_two() as u64
}

/// The remainder modulo the polynomial of a node, as values.
fn forward_node(x: &mut [Lanes], node: usize, twiddles: &Twiddles, cancel: &Cancel) -> Result<(), TaskError> {
    cancel.check()?;
    if x.len() <= BLOCK {
        Arch::new().dispatch(Block { x, node, twiddles, forward: true });
        return Ok(());
    }
    pass(quarters(x), node, twiddles, cancel, SplitQuarters)?;
    each(quarters(x), cancel, |x, child| forward_node(x, 4 * node + child, twiddles, cancel))
}

/// Values, as the remainder modulo the polynomial of a node.
fn backward_node(
    x: &mut [Lanes],
    node: usize,
    twiddles: &Twiddles,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    cancel.check()?;
    if x.len() <= BLOCK {
        Arch::new().dispatch(Block { x, node, twiddles, forward: false });
        return Ok(());
    }
    each(quarters(x), cancel, |x, child| backward_node(x, 4 * node + child, twiddles, cancel))?;
    pass(quarters(x), node, twiddles, cancel, UniteQuarters)
}

/// All steps of a short node, which fits a cache.
struct Block<'a> {
    x: &'a mut [Lanes],
    node: usize,
    twiddles: &'a Twiddles,
    forward: bool,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.forward { self.split(simd) } else { self.unite(simd) }
    }
}

impl Block<'_> {
    #[inline(always)]
    fn split<S: Simd>(self, simd: S) {
        let Self { x, node, twiddles, .. } = self;
        let (mut size, mut first) = (x.len(), node);
        while size >= 4 {
            for (node, x) in (first..).zip(x.chunks_exact_mut(size)) {
                SplitQuarters.take(simd, quarters(x), node, twiddles);
            }
            (size, first) = (size / 4, first * 4);
        }
        if size == 2 {
            for (node, x) in (first..).zip(x.as_chunks_mut::<2>().0) {
                let turned = x[1].times(simd, twiddles.at(node));
                let even = x[0].reduced(simd);
                *x = [even.plus(simd, turned), even.minus(simd, turned)];
            }
        }
    }

    #[inline(always)]
    fn unite<S: Simd>(self, simd: S) {
        let Self { x, node, twiddles, .. } = self;
        let log = x.len().trailing_zeros();
        let mut size = 1;
        if log % 2 == 1 {
            for (node, x) in (node << (log - 1)..).zip(x.as_chunks_mut::<2>().0) {
                let [even, odd] = *x;
                // The inverse has the other sign, unless it is that of one.
                let difference = if node == 0 { even.minus(simd, odd) } else { odd.minus(simd, even) };
                *x = [even.plus(simd, odd).reduced(simd), difference.times(simd, twiddles.inverse(node))];
            }
            size = 2;
        }
        while size < x.len() {
            size *= 4;
            let first = node * (x.len() / size);
            for (node, x) in (first..).zip(x.chunks_exact_mut(size)) {
                UniteQuarters.take(simd, quarters(x), node, twiddles);
            }
        }
    }
}

/// Does something with each, on several threads if there are any.
fn each(
    [a, b, c, d]: Quarters<'_>,
    cancel: &Cancel,
    node: impl Fn(&mut [Lanes], usize) -> Result<(), TaskError> + Sync,
) -> Result<(), TaskError> {
    if a.len() < SHARED {
        return node(a, 0).and_then(|()| node(b, 1)).and_then(|()| node(c, 2)).and_then(|()| node(d, 3));
    }
    let (front, back) =
        cancel.join(|| both((a, 0), (b, 1), cancel, &node), || both((c, 2), (d, 3), cancel, &node));
    front.and(back)
}

/// Does something with two nodes and with the grandchildren of the one between them, so that two threads have as much
/// to do.
fn one_and_a_half_each(
    a: &mut [Lanes],
    [b0, b1, b2, b3]: Quarters<'_>,
    c: &mut [Lanes],
    cancel: &Cancel,
    node: impl Fn(&mut [Lanes], usize) -> Result<(), TaskError> + Sync,
) -> Result<(), TaskError> {
    let share = |whole, of, first, second| {
        let (whole, half) = cancel.join(|| node(whole, of), || both(first, second, cancel, &node));
        whole.and(half)
    };
    let (front, back) = cancel.join(|| share(a, 0, (b0, 4), (b1, 5)), || share(c, 2, (b2, 6), (b3, 7)));
    front.and(back)
}

fn both(
    (a, first): (&mut [Lanes], usize),
    (b, second): (&mut [Lanes], usize),
    cancel: &Cancel,
    node: impl Fn(&mut [Lanes], usize) -> Result<(), TaskError> + Sync,
) -> Result<(), TaskError> {
    if a.len() < SHARED {
        return node(a, first).and_then(|()| node(b, second));
    }
    let (a, b) = cancel.join(|| node(a, first), || node(b, second));
    a.and(b)
}

/// One step over all of a long node.
fn pass<const COUNT: usize>(
    mut parts: Parts<'_, COUNT>,
    node: usize,
    twiddles: &Twiddles,
    cancel: &Cancel,
    step: impl Step<COUNT>,
) -> Result<(), TaskError> {
    cancel.check()?;
    let len = parts[0].len();
    if len * COUNT < QUICK {
        Arch::new().dispatch(Taken { step, parts, node, twiddles });
        return Ok(());
    }
    let mut back: Parts<'_, COUNT> = from_fn(|_| Default::default());
    let front = from_fn(|part| {
        let (front, rest) = take(&mut parts[part]).split_at_mut(len / 2);
        back[part] = rest;
        front
    });
    let (front, back) = cancel
        .join(|| pass(front, node, twiddles, cancel, step), || pass(back, node, twiddles, cancel, step));
    front.and(back)
}
