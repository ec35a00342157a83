//! The factors of a product: their sizes, checked before anything is allocated, and their elements.

use crate::{cancel::Cancel, kernel::zeros::zeros};
use pulp::Arch;
use sgdt_proto::{
    buffer::{Buffer, Scalar},
    kind::matmul::{Element, Matrix, Operand, Real},
    task::TaskError,
};
use std::borrow::Cow;

/// How many elements are generated between two looks at the cancel handle.
const BLOCK: usize = 1 << 16;

/// More than this many are shared with an idle core: they take about a millisecond.
const SHARED: usize = 1 << 20;

/// What an operand needs beside what arrived.
pub(super) fn extra_bytes(name: &str, operand: &Operand) -> Result<u64, TaskError> {
    let expected = bytes(operand.element(), operand.shape())?;
    match operand {
        Operand::Random { .. } => Ok(expected),
        Operand::Dense(Matrix { element, rows, columns, elements }) => {
            if elements.len() as u64 != expected {
                return Err(TaskError::invalid_input(format!(
                    "{name} is said to be {rows} x {columns} of {element}, which takes {expected} bytes, but has {}",
                    elements.len()
                )));
            }
            let aligned = match element {
                Element::F64 => is_aligned::<f64>(elements),
                Element::F32 => is_aligned::<f32>(elements),
            };
            Ok(if aligned { 0 } else { expected })
        }
    }
}

fn is_aligned<T: Real>(elements: &Buffer) -> bool {
    bytemuck::try_cast_slice::<u8, T>(elements.as_bytes()).is_ok()
}

/// The bytes of a matrix of this shape, which a process could at least address.
pub(super) fn bytes(element: Element, [rows, columns]: [u64; 2]) -> Result<u64, TaskError> {
    Matrix::bytes(element, rows, columns).filter(|&bytes| isize::try_from(bytes).is_ok()).ok_or_else(|| {
        TaskError::too_large(format!("a {rows} x {columns} matrix is more than memory can hold"))
    })
}

pub(super) fn index(dimension: u64) -> Result<usize, TaskError> {
    usize::try_from(dimension).map_err(|_| {
        TaskError::too_large(format!("{dimension} rows or columns are more than memory can hold"))
    })
}

/// Zeros for a matrix of this shape: its elements, or as many words as they take.
pub(super) fn allocate<T: Scalar>(
    element: Element,
    shape: [u64; 2],
    cancel: &Cancel,
) -> Result<Vec<T>, TaskError> {
    let bytes = index(bytes(element, shape)?)?;
    zeros(bytes.div_ceil(size_of::<T>()), cancel)?.ok_or_else(|| {
        TaskError::too_large(format!("there is no memory left for a {} x {} matrix", shape[0], shape[1]))
    })
}

/// An operand's elements in row-major order.
pub(super) fn elements<'a, T: Real>(
    operand: &'a Operand,
    cancel: &Cancel,
) -> Result<Cow<'a, [T]>, TaskError> {
    match operand {
        Operand::Dense(Matrix { elements, .. }) => elements.scalars().map_err(|len| {
            TaskError::invalid_input(format!("{len} bytes are no whole number of {}", T::ELEMENT))
        }),
        Operand::Random { shape, seed, .. } => {
            let mut elements = allocate(T::ELEMENT, *shape, cancel)?;
            generate(&mut elements, 0, *seed, cancel)?;
            Ok(Cow::Owned(elements))
        }
    }
}

/// Makes the elements from index `first` of a seed's sequence on.
fn generate<T: Real>(elements: &mut [T], first: u64, seed: u64, cancel: &Cancel) -> Result<(), TaskError> {
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
        // With the widest vectors that there are: beside a small product, plain code's time would show.
        arch.dispatch(
            #[inline(always)]
            || {
                for (element, index) in block.iter_mut().zip(start..) {
                    *element = T::unit(seed, index);
                }
            },
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::kind::random;
    use tokio_util::bytes::Bytes;

    /// How many bytes are copied, for each of eight neighbouring places in memory.
    fn copied<T: Real>(numbers: [T; 2]) -> Vec<u64> {
        let copied = (1..9).map(|start| {
            let moved = [&[0].repeat(start), bytemuck::cast_slice::<T, u8>(&numbers)].concat();
            let elements = Buffer::from(Bytes::from(moved).slice(start..));
            let operand = Operand::Dense(Matrix { element: T::ELEMENT, rows: 1, columns: 2, elements });
            assert!(elements_of::<T>(&operand) == numbers);
            extra_bytes("a", &operand).unwrap()
        });
        copied.collect()
    }

    fn elements_of<T: Real>(operand: &Operand) -> Vec<T> {
        elements(operand, &Cancel::new()).unwrap().into_owned()
    }

    #[test]
    fn elements_that_are_not_aligned_are_copied_and_paid_for() {
        for (copied, free, bytes) in [(copied([1.0f64, -2.5]), 1, 16), (copied([1.0f32, -2.5]), 2, 8)] {
            assert_eq!(copied.iter().filter(|&&copied| copied == 0).count(), free, "{copied:?}");
            assert_eq!(copied.iter().filter(|&&copied| copied == bytes).count(), 8 - free, "{copied:?}");
        }
    }

    #[test]
    fn generated_elements_are_those_of_their_seed_across_blocks() {
        let operand = |element| Operand::Random { element, shape: [3, 40_000], seed: 8 };
        let doubles = (0..120_000).map(|index| random::unit(8, index));
        assert!(elements_of::<f64>(&operand(Element::F64)).into_iter().eq(doubles));
        let floats = (0..120_000).map(|index| random::unit_f32(8, index));
        assert!(elements_of::<f32>(&operand(Element::F32)).into_iter().eq(floats));
    }
}
