//! Number-theoretic transforms: a polynomial's values at roots of unity, and back.
//!
//! A transform of length n takes a polynomial modulo x^n - 1, which is (x^(n/2) - 1)(x^(n/2) + 1), to its remainders
//! modulo the two factors, each of which is x^m - r^2 again, and so on down to constants. Node j of a level has
//! r = [`Twiddles`]`[j]`, its children are nodes 2j and 2j + 1, and four grandchildren are made at a time. Going back
//! takes the same steps backwards. The values come in an order of their own, which products do not mind.
//!
//! Lengths are powers of two, and three quarters of them: of the four grandchildren of the root the last is left out,
//! as van der Hoeven's truncated transform does ("The truncated Fourier transform and applications", ISSAC 2004).

use super::lanes::Lanes;
use crate::cancel::Cancel;
use pulp::Arch;
use sgdt_proto::task::TaskError;
use std::{array::from_fn, mem::take};

/// What is transformed without asking whether to go on: a quarter of a second-level cache of 1 MiB, some 50 us.
const BLOCK: usize = 1 << 12;

/// Shorter parts are not worth another thread.
pub(super) const SHARED: usize = 1 << 13;

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
                let room = &mut roots;
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        let roots = room;
                        for index in start..known.min(start + BLOCK) {
                            roots.push(roots[index].times(more).reduced());
                        }
                    },
                );
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

/// The values of the polynomial with these coefficients, of up to 2.5 primes in size; so are the values.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn forward(x: &mut [Lanes], twiddles: &Twiddles, cancel: &Cancel) -> Result<(), TaskError> {
    if x.len().is_power_of_two() {
        return forward_node(x, 0, twiddles, cancel);
    }
    pass(thirds(x), 0, twiddles, cancel, split_thirds)?;
    let [a, b, c] = thirds(x);
    let node = |x: &mut [Lanes], node| forward_node(x, node, twiddles, cancel);
    if 3 * a.len() <= SHARED {
        return node(a, 0).and_then(|()| node(b, 1)).and_then(|()| node(c, 2));
    }
    pass(quarters(b), 1, twiddles, cancel, split_quarters)?;
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
        pass(quarters(b), 1, twiddles, cancel, unite_quarters)?;
    }
    pass(thirds(x), 0, twiddles, cancel, unite_thirds)
}

/// What coefficients come back multiplied by.
pub(super) fn scale(length: usize) -> u64 {
    length.next_power_of_two() as u64
}

/// The remainder modulo the polynomial of a node, as values.
fn forward_node(x: &mut [Lanes], node: usize, twiddles: &Twiddles, cancel: &Cancel) -> Result<(), TaskError> {
    cancel.check()?;
    if x.len() <= BLOCK {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let x = x;
                let (mut size, mut first) = (x.len(), node);
                while size >= 4 {
                    for (node, x) in (first..).zip(x.chunks_exact_mut(size)) {
                        split(x, node, twiddles);
                    }
                    (size, first) = (size / 4, first * 4);
                }
                if size == 2 {
                    for (node, x) in (first..).zip(x.as_chunks_mut::<2>().0) {
                        let turned = x[1].times(twiddles.at(node));
                        let even = x[0].reduced();
                        *x = [even.plus(turned), even.minus(turned)];
                    }
                }
            },
        );
        return Ok(());
    }
    pass(quarters(x), node, twiddles, cancel, split_quarters)?;
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
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let x = x;
                let log = x.len().trailing_zeros();
                let mut size = 1;
                if log % 2 == 1 {
                    for (node, x) in (node << (log - 1)..).zip(x.as_chunks_mut::<2>().0) {
                        let [even, odd] = *x;
                        // The inverse has the other sign, unless it is that of one.
                        let difference = if node == 0 { even.minus(odd) } else { odd.minus(even) };
                        *x = [even.plus(odd).reduced(), difference.times(twiddles.inverse(node))];
                    }
                    size = 2;
                }
                while size < x.len() {
                    size *= 4;
                    let first = node * (x.len() / size);
                    for (node, x) in (first..).zip(x.chunks_exact_mut(size)) {
                        unite(x, node, twiddles);
                    }
                }
            },
        );
        return Ok(());
    }
    each(quarters(x), cancel, |x, child| backward_node(x, 4 * node + child, twiddles, cancel))?;
    pass(quarters(x), node, twiddles, cancel, unite_quarters)
}

type Parts<'a, const COUNT: usize> = [&'a mut [Lanes]; COUNT];
type Thirds<'a> = Parts<'a, 3>;
type Quarters<'a> = Parts<'a, 4>;

fn thirds(x: &mut [Lanes]) -> Thirds<'_> {
    let (a, rest) = x.split_at_mut(x.len() / 3);
    let (b, c) = rest.split_at_mut(a.len());
    [a, b, c]
}

#[inline(always)]
fn quarters(x: &mut [Lanes]) -> Quarters<'_> {
    let (front, back) = x.split_at_mut(x.len() / 2);
    let ((a, b), (c, d)) = (front.split_at_mut(front.len() / 2), back.split_at_mut(back.len() / 2));
    [a, b, c, d]
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
    step: fn(Parts<'_, COUNT>, usize, &Twiddles),
) -> Result<(), TaskError> {
    cancel.check()?;
    let len = parts[0].len();
    if len < SHARED {
        step(parts, node, twiddles);
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

/// A polynomial p + q y + r y^2, as p + q + r, p - q + r and p + i q - r.
fn split_thirds([a, b, c]: Thirds<'_>, _root: usize, twiddles: &Twiddles) {
    let i = twiddles.at(1);
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                let (sum, difference) = (a.plus(*c).reduced(), a.minus(*c).reduced());
                let (odd, turned) = (b.reduced(), b.times(i));
                (*a, *b, *c) = (sum.plus(odd), sum.minus(odd), difference.plus(turned));
            }
        },
    );
}

/// The polynomial that these are the values of, times four.
fn unite_thirds([a, b, c]: Thirds<'_>, _root: usize, twiddles: &Twiddles) {
    let i = twiddles.at(1);
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                let (sum, odd) = (a.plus(*b).reduced(), a.minus(*b).reduced());
                let difference = c.plus(*c).minus(odd.times(i)).reduced();
                (*a, *b, *c) = (sum.plus(difference), odd.plus(odd), sum.minus(difference));
            }
        },
    );
}

fn split_quarters(quarters: Quarters<'_>, node: usize, twiddles: &Twiddles) {
    Arch::new().dispatch(
        #[inline(always)]
        || split_into(quarters, node, twiddles),
    );
}

fn unite_quarters(quarters: Quarters<'_>, node: usize, twiddles: &Twiddles) {
    Arch::new().dispatch(
        #[inline(always)]
        || unite_from(quarters, node, twiddles),
    );
}

/// A node's remainder, as those of its four grandchildren.
#[inline(always)]
fn split(x: &mut [Lanes], node: usize, twiddles: &Twiddles) {
    split_into(quarters(x), node, twiddles);
}

#[inline(always)]
fn split_into([a, b, c, d]: Quarters<'_>, node: usize, twiddles: &Twiddles) {
    let (own, even, odd) = (twiddles.at(node), twiddles.at(2 * node), twiddles.at(2 * node + 1));
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (low, high) = (c.times(own), d.times(own));
        let front = a.reduced();
        let (a_even, a_odd) = (front.plus(low), front.minus(low));
        let (b_even, b_odd) = (b.plus(high).times(even), b.minus(high).times(odd));
        (*a, *b) = (a_even.plus(b_even), a_even.minus(b_even));
        (*c, *d) = (a_odd.plus(b_odd), a_odd.minus(b_odd));
    }
}

/// The remainders of a node's four grandchildren, as its own, times four.
#[inline(always)]
fn unite(x: &mut [Lanes], node: usize, twiddles: &Twiddles) {
    unite_from(quarters(x), node, twiddles);
}

#[inline(always)]
fn unite_from([a, b, c, d]: Quarters<'_>, node: usize, twiddles: &Twiddles) {
    let (own, even, odd) =
        (twiddles.inverse(node), twiddles.inverse(2 * node), twiddles.inverse(2 * node + 1));
    // Inverses have the other sign, unless they are that of one, which only the root meets.
    let root = node == 0;
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (a_even, a_odd) = (a.plus(*b), c.plus(*d));
        let b_even = if root { a.minus(*b) } else { b.minus(*a) }.times(even);
        let b_odd = d.minus(*c).times(odd);
        (*a, *b) = (a_even.plus(a_odd).reduced(), b_even.plus(b_odd).reduced());
        let (low, high) = if root {
            (a_even.minus(a_odd), b_even.minus(b_odd))
        } else {
            (a_odd.minus(a_even), b_odd.minus(b_even))
        };
        (*c, *d) = (low.times(own), high.times(own));
    }
}
