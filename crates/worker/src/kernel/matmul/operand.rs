//! The factors of a product: their sizes, checked before anything is allocated, and their elements.

use crate::{cancel::Cancel, kernel::zeros::zeros};
use faer::traits::pulp::Arch;
use sgdt_proto::{
    buffer::Buffer,
    kind::{
        matmul::{Matrix, Operand},
        random,
    },
    task::TaskError,
};
use std::borrow::Cow;

/// How many elements are generated between two looks at the cancel handle.
const BLOCK: usize = 1 << 16;

/// More than this many are shared with an idle core: they take about a millisecond.
const SHARED: usize = 1 << 20;

/// What an operand needs beside what arrived.
pub(super) fn extra_bytes(name: &str, operand: &Operand) -> Result<u64, TaskError> {
    let expected = bytes(operand.shape())?;
    match operand {
        Operand::Random { .. } => Ok(expected),
        Operand::Dense(Matrix { rows, columns, elements }) => {
            if elements.len() as u64 != expected {
                return Err(TaskError::invalid_input(format!(
                    "{name} is said to be {rows} x {columns}, which takes {expected} bytes, but has {}",
                    elements.len()
                )));
            }
            Ok(if borrowed(elements).is_some() { 0 } else { expected })
        }
    }
}

/// The bytes of a matrix of this shape, which a process could at least address.
pub(super) fn bytes([rows, columns]: [u64; 2]) -> Result<u64, TaskError> {
    rows.checked_mul(columns)
        .and_then(|elements| elements.checked_mul(size_of::<f64>() as u64))
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .ok_or_else(|| {
            TaskError::too_large(format!("a {rows} x {columns} matrix is more than memory can hold"))
        })
}

pub(super) fn index(dimension: u64) -> Result<usize, TaskError> {
    usize::try_from(dimension).map_err(|_| {
        TaskError::too_large(format!("{dimension} rows or columns are more than memory can hold"))
    })
}

pub(super) fn allocate(shape: [u64; 2], cancel: &Cancel) -> Result<Vec<f64>, TaskError> {
    zeros(index(bytes(shape)?)? / size_of::<f64>(), cancel)?.ok_or_else(|| {
        TaskError::too_large(format!("there is no memory left for a {} x {} matrix", shape[0], shape[1]))
    })
}

fn borrowed(elements: &Buffer) -> Option<&[f64]> {
    bytemuck::try_cast_slice(elements.as_bytes()).ok()
}

/// An operand's elements in row-major order.
pub(super) fn elements<'a>(operand: &'a Operand, cancel: &Cancel) -> Result<Cow<'a, [f64]>, TaskError> {
    match operand {
        Operand::Dense(Matrix { elements, .. }) => Ok(match borrowed(elements) {
            Some(elements) => Cow::Borrowed(elements),
            None => Cow::Owned(elements.clone().into_scalars().map_err(|len| {
                TaskError::invalid_input(format!("{len} bytes are no whole number of doubles"))
            })?),
        }),
        Operand::Random { shape, seed } => {
            let mut elements = allocate(*shape, cancel)?;
            generate(&mut elements, 0, *seed, cancel)?;
            Ok(Cow::Owned(elements))
        }
    }
}

/// Makes the elements from index `first` of a seed's sequence on.
fn generate(elements: &mut [f64], first: u64, seed: u64, cancel: &Cancel) -> Result<(), TaskError> {
    if elements.len() > SHARED && cancel.has_help() {
        let middle = elements.len() / 2;
        let (left, right) = elements.split_at_mut(middle);
        let (left, right) = cancel.join(
            || generate(left, first, seed, cancel),
            || generate(right, first + middle as u64, seed, cancel),
        );
        return left.and(right);
    }
    let arch = Arch::new();
    for (start, block) in (first..).step_by(BLOCK).zip(elements.chunks_mut(BLOCK)) {
        cancel.check()?;
        // With AVX2 where there is AVX2: beside a small product, plain code's time would show.
        arch.dispatch(
            #[inline(always)]
            || {
                for (element, index) in block.iter_mut().zip(start..) {
                    *element = random::unit(seed, index);
                }
            },
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::bytes::Bytes;

    #[test]
    fn elements_that_are_not_aligned_are_copied_and_paid_for() {
        let numbers = [1.0, -2.5];
        // One of eight neighbouring places is aligned.
        let extra: Vec<_> = (1..9)
            .map(|start| {
                let moved = [&[0].repeat(start), bytemuck::cast_slice::<f64, u8>(&numbers)].concat();
                let elements = Buffer::from(Bytes::from(moved).slice(start..));
                let operand = Operand::Dense(Matrix { rows: 1, columns: 2, elements });
                assert_eq!(super::elements(&operand, &Cancel::new()).unwrap().as_ref(), numbers);
                extra_bytes("a", &operand).unwrap()
            })
            .collect();
        assert!(extra.contains(&16) && extra.iter().all(|bytes| [0, 16].contains(bytes)), "{extra:?}");
    }

    #[test]
    fn generated_elements_are_those_of_their_seed_across_blocks() {
        let operand = Operand::Random { shape: [3, 40_000], seed: 8 };
        let made = elements(&operand, &Cancel::new()).unwrap();
        assert!(made.iter().copied().eq((0..120_000).map(|index| random::unit(8, index))));
    }
}
