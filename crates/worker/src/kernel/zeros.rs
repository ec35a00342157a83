//! Memory for numbers. The allocator may have to clear it, and every page of it may have to be fetched from the system:
//! hundreds of milliseconds a GiB, in which the task could not be cancelled.

use crate::cancel::Cancel;
use bytemuck::{Zeroable, allocation::try_zeroed_vec};
use sgdt_proto::task::TaskError;

/// How many bytes are cleared between two looks at the cancel handle: some milliseconds' worth.
const AT_ONCE: usize = 1 << 24;

/// So many zeros; `None` where there is no memory for them.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn zeros<T: Zeroable + Clone>(len: usize, cancel: &Cancel) -> Result<Option<Vec<T>>, TaskError> {
    let step = AT_ONCE / size_of::<T>().max(1);
    if len <= step {
        return Ok(try_zeroed_vec(len).ok());
    }
    let mut zeros = Vec::new();
    if zeros.try_reserve_exact(len).is_err() {
        return Ok(None);
    }
    while zeros.len() < len {
        cancel.check()?;
        zeros.resize(len.min(zeros.len() + step), T::zeroed());
    }
    Ok(Some(zeros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::task::ErrorCode;
    use std::time::Duration;

    #[test]
    fn there_are_as_many_zeros_as_asked_for_unless_memory_or_time_is_short() {
        let cancel = Cancel::new();
        for len in [0, 5, AT_ONCE / 8, AT_ONCE / 8 + 1, AT_ONCE / 3] {
            let zeros: Vec<u64> = zeros(len, &cancel).unwrap().unwrap();
            assert!(zeros.len() == len && zeros.iter().all(|zero| *zero == 0), "{len}");
        }
        assert_eq!(zeros::<f64>(usize::MAX / 8, &cancel), Ok(None));
        let late = cancel.started(Some(Duration::from_millis(1)));
        // 2 GiB.
        assert_eq!(zeros::<f64>(1 << 28, &late).unwrap_err().code, ErrorCode::Timeout);
    }
}
