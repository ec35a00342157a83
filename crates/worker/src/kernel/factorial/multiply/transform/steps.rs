//! The steps of which transforms consist, each of which goes once over all of a node.

use super::{super::lanes::Lanes, Twiddles};
use pulp::{Simd, WithSimd};

/// A node's remainder, in as many parts as a step makes of it.
pub(super) type Parts<'a, const COUNT: usize> = [&'a mut [Lanes]; COUNT];
pub(super) type Thirds<'a> = Parts<'a, 3>;
pub(super) type Quarters<'a> = Parts<'a, 4>;

pub(super) fn thirds(x: &mut [Lanes]) -> Thirds<'_> {
    let (a, rest) = x.split_at_mut(x.len() / 3);
    let (b, c) = rest.split_at_mut(a.len());
    [a, b, c]
}

#[inline(always)]
pub(super) fn quarters(x: &mut [Lanes]) -> Quarters<'_> {
    let (front, back) = x.split_at_mut(x.len() / 2);
    let ((a, b), (c, d)) = (front.split_at_mut(front.len() / 2), back.split_at_mut(back.len() / 2));
    [a, b, c, d]
}

pub(super) trait Step<const COUNT: usize>: Copy + Send + Sync {
    fn take<S: Simd>(self, simd: S, parts: Parts<'_, COUNT>, node: usize, twiddles: &Twiddles);
}

/// A step, to be taken with some vectors.
pub(super) struct Taken<'a, T, const COUNT: usize> {
    pub(super) step: T,
    pub(super) parts: Parts<'a, COUNT>,
    pub(super) node: usize,
    pub(super) twiddles: &'a Twiddles,
}

impl<T: Step<COUNT>, const COUNT: usize> WithSimd for Taken<'_, T, COUNT> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.step.take(simd, self.parts, self.node, self.twiddles);
    }
}

/// A polynomial p + q y + r y^2, as p + q + r, p - q + r and p + i q - r.
#[derive(Clone, Copy)]
pub(super) struct SplitThirds;

impl Step<3> for SplitThirds {
    #[inline(always)]
    fn take<S: Simd>(self, simd: S, [a, b, c]: Thirds<'_>, _root: usize, twiddles: &Twiddles) {
        let i = twiddles.at(1);
        for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
            let (sum, difference) = (a.plus(simd, *c).reduced(simd), a.minus(simd, *c).reduced(simd));
            let (odd, turned) = (b.reduced(simd), b.times(simd, i));
            (*a, *b, *c) = (sum.plus(simd, odd), sum.minus(simd, odd), difference.plus(simd, turned));
        }
    }
}

/// The polynomial that these are the values of, times four.
#[derive(Clone, Copy)]
pub(super) struct UniteThirds;

impl Step<3> for UniteThirds {
    #[inline(always)]
    fn take<S: Simd>(self, simd: S, [a, b, c]: Thirds<'_>, _root: usize, twiddles: &Twiddles) {
        let i = twiddles.at(1);
        for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
            let (sum, odd) = (a.plus(simd, *b).reduced(simd), a.minus(simd, *b).reduced(simd));
            let turned = odd.times(simd, i);
            let difference = c.plus(simd, *c).minus(simd, turned).reduced(simd);
            (*a, *b, *c) = (sum.plus(simd, difference), odd.plus(simd, odd), sum.minus(simd, difference));
        }
    }
}

/// A node's remainder, as those of its four grandchildren.
#[derive(Clone, Copy)]
pub(super) struct SplitQuarters;

impl Step<4> for SplitQuarters {
    #[inline(always)]
    fn take<S: Simd>(self, simd: S, [a, b, c, d]: Quarters<'_>, node: usize, twiddles: &Twiddles) {
        let (own, even, odd) = (twiddles.at(node), twiddles.at(2 * node), twiddles.at(2 * node + 1));
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            let (low, high) = (c.times(simd, own), d.times(simd, own));
            let front = a.reduced(simd);
            let (a_even, a_odd) = (front.plus(simd, low), front.minus(simd, low));
            let b_even = b.plus(simd, high).times(simd, even);
            let b_odd = b.minus(simd, high).times(simd, odd);
            (*a, *b) = (a_even.plus(simd, b_even), a_even.minus(simd, b_even));
            (*c, *d) = (a_odd.plus(simd, b_odd), a_odd.minus(simd, b_odd));
        }
    }
}

/// The remainders of a node's four grandchildren, as its own, times four.
#[derive(Clone, Copy)]
pub(super) struct UniteQuarters;

impl Step<4> for UniteQuarters {
    #[inline(always)]
    fn take<S: Simd>(self, simd: S, [a, b, c, d]: Quarters<'_>, node: usize, twiddles: &Twiddles) {
        let (own, even, odd) =
            (twiddles.inverse(node), twiddles.inverse(2 * node), twiddles.inverse(2 * node + 1));
        // Inverses have the other sign, unless they are that of one, which only the root meets.
        let root = node == 0;
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            let (a_even, a_odd) = (a.plus(simd, *b), c.plus(simd, *d));
            let b_even = if root { a.minus(simd, *b) } else { b.minus(simd, *a) }.times(simd, even);
            let b_odd = d.minus(simd, *c).times(simd, odd);
            *a = a_even.plus(simd, a_odd).reduced(simd);
            *b = b_even.plus(simd, b_odd).reduced(simd);
            let (low, high) = if root {
                (a_even.minus(simd, a_odd), b_even.minus(simd, b_odd))
            } else {
                (a_odd.minus(simd, a_even), b_odd.minus(simd, b_even))
            };
            (*c, *d) = (low.times(simd, own), high.times(simd, own));
        }
    }
}
