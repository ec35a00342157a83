//! Sorting within memory that is given, for whoever keeps count of it.

use super::{
    numbers,
    text::{self, Keyed},
};
use crate::cancel::Cancel;
use sgdt_proto::{kind::sort::Number, task::TaskError};

/// What stands for a line of a text: some bytes of it, and where it is.
pub type Spot = [u64; 2];

impl Keyed for Spot {
    fn key(&self) -> u64 {
        self[0]
    }

    fn set_key(&mut self, key: u64) {
        self[0] = key;
    }
}

/// The line that a spot of a text stands for, without its line feed.
#[inline]
pub fn line<'a>(text: &'a [u8], [_, place]: &Spot) -> &'a [u8] {
    let (start, len) = ((place >> 32) as usize, *place as u32 as usize);
    text.get(start..start + len).unwrap_or_default()
}

/// Sorts the lines of a text, each with its line feed, by their bytes. Beside the spots, one for each line, it takes a MiB
/// at most, unless very many lines agree in many bytes. Returns the spots in use, in order.
///
/// # Errors
/// `too-large`: there are more lines than spots, or the text has 4 GiB. `cancelled` or `timeout`.
pub fn sort_lines<'a>(text: &[u8], spots: &'a mut [Spot], cancel: &Cancel) -> Result<&'a [Spot], TaskError> {
    /// How many lines are found between two looks at the cancel handle.
    const BLOCK: usize = 1 << 14;
    let too_large = || TaskError::too_large(format!("no room for the lines of {} bytes", text.len()));
    u32::try_from(text.len()).map_err(|_| too_large())?;
    let (mut start, mut count) = (0, 0);
    for end in memchr::memchr_iter(b'\n', text) {
        if count % BLOCK == 0 {
            cancel.check()?;
        }
        *spots.get_mut(count).ok_or_else(too_large)? = [0, (start as u64) << 32 | (end - start) as u64];
        (start, count) = (end + 1, count + 1);
    }
    let spots = &mut spots[..count];
    text::sort(spots, &|spot| line(text, spot), cancel)?;
    Ok(spots)
}

/// Sorts numbers, given as their bits; doubles in their total order with every NaN last.
///
/// # Errors
/// `cancelled` or `timeout`.
pub fn sort_numbers(
    number: Number,
    words: &mut [u64],
    descending: bool,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    numbers::order(number, words, descending, cancel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::task::ErrorCode;

    #[test]
    fn lines_are_sorted_within_the_spots_that_there_are() {
        let text = b"b\n\na\0\na\nb\n";
        let mut spots = [Spot::default(); 6];
        let sorted = sort_lines(text, &mut spots, &Cancel::new()).unwrap();
        let lines: Vec<_> = sorted.iter().map(|spot| line(text, spot)).collect();
        assert_eq!(lines, [&b""[..], b"a", b"a\0", b"b", b"b"]);
        let few = &mut [Spot::default(); 4];
        assert_eq!(sort_lines(text, few, &Cancel::new()).unwrap_err().code, ErrorCode::TooLarge);
        assert!(sort_lines(b"", &mut [], &Cancel::new()).unwrap().is_empty());
    }
}
