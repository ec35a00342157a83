//! Multiplying some rows of `a` after others by the same block of `b`, with the help of whoever becomes idle.

use super::{super::both, PANELS};
use crate::cancel::Cancel;
use sgdt_proto::task::TaskError;

/// How rows are multiplied: so many at a time.
pub(super) struct Turns<'t, F> {
    pub(super) rows: usize,
    /// How many terms a product has.
    pub(super) k: usize,
    /// Half as many rows are not worth the start of a thread.
    pub(super) helped: usize,
    /// Multiplies rows of `a` to rows of `c`. A block of `a` is packed in what else it is given.
    pub(super) each: F,
    pub(super) cancel: &'t Cancel,
}

impl<F> Turns<'_, F> {
    /// Multiplies all rows. Looks before each turn whether somebody is idle, who then does half of what is
    /// left, in whole panels.
    pub(super) fn all<T: Send + Sync, P: Clone + Send>(
        &self,
        mut c: &mut [&mut [T]],
        mut a: &[T],
        room: &mut [P],
    ) -> Result<(), TaskError>
    where
        F: Fn(&mut [&mut [T]], &[T], &mut [P]) + Sync,
    {
        let &Self { rows, k, helped, ref each, cancel } = self;
        while !c.is_empty() {
            cancel.check()?;
            let middle = (c.len() / 2).next_multiple_of(PANELS);
            if c.len() > rows.max(helped).max(middle) && cancel.has_help() {
                let ((top, bottom), (a_top, a_bottom)) = (c.split_at_mut(middle), a.split_at(middle * k));
                let mut another = room.to_vec();
                return both(
                    cancel.join(|| self.all(top, a_top, room), || self.all(bottom, a_bottom, &mut another)),
                );
            }
            let turn = rows.min(c.len());
            let ((done, rest), (a_done, a_rest)) = (c.split_at_mut(turn), a.split_at(turn * k));
            each(done, a_done, room);
            (c, a) = (rest, a_rest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use sgdt_proto::task::ErrorCode;
    use std::{
        sync::{Mutex, mpsc},
        thread,
        time::Duration,
    };

    /// Whether this thread did each of so many panels of rows, in turns of two, where a core is idle after the first turn.
    fn own(panels: usize, helped: usize) -> Vec<bool> {
        let cores = Cores::new(2);
        let (_own, other) = (cores.occupy(), Mutex::new(Some(cores.occupy())));
        let here = thread::current().id();
        // Another thread is not done before this one has had three turns.
        let (turn, turns) = mpsc::channel();
        let turns = Mutex::new((turns, 0..3));
        let (mut c, a) = (vec![None; panels * PANELS], vec![None; 3 * panels * PANELS]);
        let each = |c: &mut [&mut [Option<bool>]], a: &[_], room: &mut [u8]| {
            other.lock().unwrap().take();
            let own = thread::current().id() == here;
            if own {
                turn.send(()).unwrap();
            } else {
                let (turns, left) = &mut *turns.lock().unwrap();
                left.for_each(|_| turns.recv_timeout(Duration::from_secs(60)).unwrap());
            }
            assert!(c.len() <= 2 * PANELS && a.len() == 3 * c.len() && room.len() == 5);
            for row in c {
                assert!(row[0].replace(own).is_none());
            }
        };
        let (rows, helped) = (2 * PANELS, helped * PANELS);
        let by_two = Turns { rows, k: 3, helped, each, cancel: &Cancel::new().helped_by(&cores) };
        let mut c_rows: Vec<&mut [_]> = c.chunks_mut(1).collect();
        by_two.all(&mut c_rows, &a, &mut [0; 5]).unwrap();
        c.chunks(PANELS).map(|panel| panel[0].expect("each row is multiplied")).collect()
    }

    #[test]
    fn a_core_that_becomes_idle_does_half_of_the_rows_that_are_left() {
        assert_eq!(own(9, 0), [true, true, true, true, true, true, false, false, false]);
        // What is one turn is not parted, and a few are not worth a thread.
        assert_eq!(own(4, 0), [true; 4]);
        assert_eq!(own(9, 7), [true; 9]);
        assert!(own(0, 0).is_empty());
    }

    #[test]
    fn it_stops_between_turns() {
        let cancel = Cancel::new();
        let each = |_: &mut [&mut [u8]], _: &[_], _: &mut [u8]| cancel.cancel();
        let turns = Turns { rows: 1, k: 1, helped: 0, each, cancel: &cancel };
        let mut c = [0; 3];
        let mut rows: Vec<&mut [_]> = c.chunks_mut(1).collect();
        let result = turns.all(&mut rows, &[0; 3], &mut [0]);
        assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
    }
}
