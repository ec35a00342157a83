//! A factorial as parts, and a tree of products.
//!
//! n! is the product of p^e over the primes p up to n (e by Legendre's formula). A part has the primes of a range;
//! ranges that multiply their bounds by the same factor give parts of about as many bits, because the primes up to
//! x contribute n log x of them (Mertens). Twos are left out, because they are a shift, and in decimal fives, because
//! with as many twos they are zeros at the end. Parts are multiplied two by two on the workers, whichever pair of neighbours is there first.
//!
//! The number is written out by whoever asked for it: in decimal it takes more than twice as many bytes. What
//! splitting gains is bounded by that, and by the last product, which takes one worker.

use super::{GiantError, Hands, Limits, flight::Flight};
use crate::{
    job::answer::broken,
    local::{Factored, Form},
};
use sgdt_proto::{
    buffer::Buffer,
    kind::natural::{MULTIPLY, Multiply, PART, Part},
    task::TaskError,
};
use std::{collections::BTreeMap, f64::consts::LOG2_E};

/// The largest number whose factorial is computed has 32 bits, as on a worker.
const LARGEST: u64 = u32::MAX as u64;

/// A place in the tree: how far from the leaves, and which one.
type Node = (u32, u64);

/// n! to be written in decimal, from at most so many parts.
///
/// # Errors
/// `too-large`: nobody computes it. That of a piece.
pub async fn decimal(
    hands: &Hands,
    n: u64,
    parts: u32,
    limits: Limits,
) -> Result<(Factored, Form), GiantError> {
    let core = product(hands, n, parts, true, limits).await?;
    let zeros = multiplicity(n, 5);
    Ok((Factored { core, twos: multiplicity(n, 2) - zeros }, Form::Decimal { zeros }))
}

/// n! to be written in another form, from at most so many parts.
///
/// # Errors
/// As [`decimal`].
pub async fn binary(hands: &Hands, n: u64, parts: u32, limits: Limits) -> Result<Factored, GiantError> {
    Ok(Factored { core: product(hands, n, parts, false, limits).await?, twos: multiplicity(n, 2) })
}

/// The limbs of n! without its factors 2, and without 5 if that is said.
async fn product(
    hands: &Hands,
    n: u64,
    parts: u32,
    without_fives: bool,
    limits: Limits,
) -> Result<Vec<u64>, GiantError> {
    if n > LARGEST {
        let message = format!("{n} is larger than {LARGEST}, the largest number whose factorial is computed");
        return Err(TaskError::too_large(message).into());
    }
    let mut flight = Flight::new(hands, limits);
    let bounds = bounds(n, parts);
    let mut widths = vec![bounds.len() as u64];
    while let Some(&width @ 2..) = widths.last() {
        widths.push(width.div_ceil(2));
    }
    let size = bytes(n) / bounds.len() as u64;
    let mut above = 0;
    let mut waiting: BTreeMap<Node, Buffer> = BTreeMap::new();
    for (index, up_to) in (0..).zip(bounds) {
        while !flight.has_room(size) {
            let Some((node, limbs)) = flight.land().await? else { break };
            join(&mut flight, &mut waiting, &widths, node, limbs)?;
        }
        flight.launch((0, index), PART, &Part { n, above, up_to, without_fives }, size)?;
        above = up_to;
    }
    while let Some((node, limbs)) = flight.land().await? {
        join(&mut flight, &mut waiting, &widths, node, limbs)?;
    }
    // Of every pair the later one sends both off, so one is left: the root.
    let root = waiting.pop_last().map(|(_, root)| root).ok_or_else(|| broken("no part came back"))?;
    Ok(root.into_scalars().map_err(|len| broken(&format!("{len} bytes are no limbs")))?)
}

/// Puts a product in its place, and sends it off with its neighbour if that is there.
fn join(
    flight: &mut Flight<Node>,
    waiting: &mut BTreeMap<Node, Buffer>,
    widths: &[u64],
    (mut level, mut index): Node,
    limbs: Buffer,
) -> Result<(), TaskError> {
    // The last of an odd number has no neighbour, and moves up.
    let width = |level: u32| widths.get(level as usize).copied().unwrap_or(1);
    while width(level) > 1 && index ^ 1 >= width(level) {
        (level, index) = (level + 1, index / 2);
    }
    match waiting.remove(&(level, index ^ 1)) {
        Some(neighbour) if width(level) > 1 => {
            let bytes = 2 * (limbs.len() + neighbour.len()) as u64;
            let factors = Multiply { left: limbs, right: neighbour };
            flight.launch((level + 1, index / 2), MULTIPLY, &factors, bytes)
        }
        _ => {
            waiting.insert((level, index), limbs);
            Ok(())
        }
    }
}

/// The upper bounds of at most so many ranges of primes; the last is n.
fn bounds(n: u64, parts: u32) -> Vec<u64> {
    let mut bounds: Vec<u64> = Vec::new();
    for index in 1..parts {
        let bound = (n as f64).powf(f64::from(index) / f64::from(parts)) as u64;
        if bound < n && bounds.last().is_none_or(|&last| last < bound) {
            bounds.push(bound);
        }
    }
    bounds.push(n);
    bounds
}

/// About how many bytes n! has, by Stirling's formula.
pub(super) fn bytes(n: u64) -> u64 {
    let n = (n as f64).max(2.0);
    (n * (n.log2() - LOG2_E) / 8.0) as u64 + 1
}

/// How often the prime p divides n! (Legendre).
fn multiplicity(n: u64, p: u64) -> u64 {
    std::iter::successors(Some(n / p), |quotient| Some(quotient / p)).take_while(|&q| q > 0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{Cancel, LocalKernels};
    use sgdt_proto::{
        kind::factorial::{Input, KIND, Output},
        task::ErrorCode,
    };

    fn hands() -> Hands {
        Hands::Local(LocalKernels::new())
    }

    #[tokio::test]
    async fn the_digits_are_those_of_the_whole_task_however_it_is_cut() {
        for n in [0, 1, 2, 5, 6, 10, 25, 1000, 4321] {
            let mut whole = Flight::new(&hands(), Limits::default());
            whole.launch((), KIND, &Input { n, summary: false }, 0).unwrap();
            let ((), expected) = whole.land::<Output>().await.unwrap().unwrap();
            for parts in [1, 2, 3, 5, 8, 13] {
                let limits = Limits { memory: 1000, verify: true, timeout: None };
                let mut text = Vec::new();
                let sink = |piece: &[u8]| {
                    text.extend_from_slice(piece);
                    Ok(())
                };
                let (number, form) = decimal(&hands(), n, parts, limits).await.unwrap();
                number.write(form, &Cancel::new(), sink).unwrap();
                assert_eq!(Some(Buffer::from(text)), expected.decimal, "{n}! in {parts} parts");
                let whole = binary(&hands(), n, 1, limits).await.unwrap();
                assert_eq!(binary(&hands(), n, parts, limits).await.unwrap(), whole, "{n}! in {parts} parts");
            }
        }
    }

    #[test]
    fn bounds_grow_and_end_with_the_number() {
        assert_eq!(bounds(10_000, 4), [10, 100, 1000, 10_000]);
        for (n, parts) in [(0, 8), (1, 8), (2, 8), (7, 64), (1 << 32, 64)] {
            let bounds = bounds(n, parts);
            assert!(bounds.is_sorted_by(|a, b| a < b) && bounds.last() == Some(&n), "{bounds:?}");
        }
    }

    #[tokio::test]
    async fn what_nobody_computes_is_refused_at_once() {
        let error = binary(&hands(), 1 << 32, 4, Limits::default()).await.unwrap_err();
        assert!(matches!(error, GiantError::Task(error) if error.code == ErrorCode::TooLarge));
    }
}
